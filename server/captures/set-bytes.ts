import { spanWords } from "../artifacts/captured-manifest.ts";
import { spanBytes, type TokenSetManifest } from "../tokens/manifest.ts";
import type { SetIdentity } from "./working-set.ts";

/** Of one number. */
export const numberBytes = { float16: 2, float32: 4 } as const;

export function rowBytes({ d_in, dtype }: Pick<SetIdentity, "d_in" | "dtype">): number {
  return d_in * numberBytes[dtype];
}

/** All files of a set but its manifest: rows, a byte of mask and four of id a token, and where the documents lie. */
export function setBytes(
  { n_sequences, options, spans }: Pick<TokenSetManifest, "n_sequences" | "options" | "spans">,
  bytesOfARow: number,
): number {
  const tokens = n_sequences * options.context_size;
  return tokens * (bytesOfARow + 1 + 4) + (spans.bytes / spanBytes) * 4 * spanWords;
}
