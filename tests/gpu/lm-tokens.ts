import { type TokenReader, tokenKind } from "../../gpu/data/tokens.ts";
import type { Config } from "../reference/lm/hugging-face.ts";
import { randomTokens } from "../reference/lm/random-model.ts";

/** Sequences in memory, each with a special token first, some with another within, and some with padding at the end. */
export function packedTokens(config: Config, n_sequences: number, length: number) {
  const ids = Array.from({ length: n_sequences }, (_, i) => randomTokens(config, length, 31 + i));
  const kinds = ids.map((tokens, i) =>
    tokens.map((_, position) => {
      if (position === 0 || (i % 3 === 1 && position === 7)) return tokenKind.special;
      return position >= length - (i % 4) ? tokenKind.padding : tokenKind.text;
    }),
  );
  const tokens: TokenReader = {
    n_sequences,
    length,
    read: async (first, count) => Uint32Array.from(ids.slice(first, first + count).flat()),
    kinds: async (first, count) => Uint8Array.from(kinds.slice(first, first + count).flat()),
  };
  return { tokens, ids, kinds };
}
