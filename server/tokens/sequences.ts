import path from "node:path";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { type TokenReader, tokenKind } from "../../gpu/data/tokens.ts";
import { modelPath } from "../models/list.ts";
import { readyTokenization, tokenizationPath } from "./list.ts";
import { openModelTokenizer } from "./model-tokenizer.ts";
import { openTokenSet } from "./token-set.ts";
import { tokenTexts } from "./token-text.ts";
import type { SequencePage, SequenceToken } from "./views.ts";

/** Tokens of one answer: a long sequence is as much work as several short ones. */
const mostTokens = 65_536;

export const sequencesInput = z.object({
  id: z.uuid(),
  start: z.number().int().min(0).default(0),
  count: z.number().int().min(1).max(50).default(10),
});

/**
 * Sequences from `start` on, token by token; fewer than asked for where they are long. Throws `NotFoundError`,
 * `ConflictError` for one that is not ready.
 */
export async function tokenizationSequences(
  db: Executor,
  home: string,
  { id, start, count }: z.output<typeof sequencesInput>,
): Promise<SequencePage> {
  const { model_id } = await readyTokenization(db, id);
  const model = await openModelTokenizer(path.join(home, modelPath(model_id)));
  const textOf = tokenTexts(model.tokenizer, model.json);
  const set = await openTokenSet(path.join(home, tokenizationPath(id)));
  try {
    const total = set.n_sequences;
    const fitting = Math.max(1, Math.floor(mostTokens / set.length));
    const first = Math.min(start, total);
    const shown = Math.min(count, fitting, total - first);
    const tokens = await tokensOf(set, first, shown, (token) => textOf(token).shown);
    const sequences = tokens.map(async (own, at) => ({
      index: first + at,
      held_out: first + at >= total - set.manifest.held_out_sequences,
      tokens: own,
      documents: await set.documentsOf(first + at),
    }));
    return { sequences: await Promise.all(sequences), total };
  } finally {
    await set.close();
  }
}

const kindNames: readonly SequenceToken["kind"][] = (["text", "special", "padding"] as const).toSorted(
  (a, b) => tokenKind[a] - tokenKind[b],
);

async function tokensOf(
  set: TokenReader,
  first: number,
  count: number,
  textOf: (id: number) => string,
): Promise<SequenceToken[][]> {
  const [ids, kinds] = await Promise.all([set.read(first, count), set.kinds(first, count)]);
  return Array.from({ length: count }, (_, sequence) => {
    const from = sequence * set.length;
    return Array.from(ids.subarray(from, from + set.length), (id, position) => ({
      id,
      text: textOf(id),
      kind: kindNames[kinds[from + position]!]!,
    }));
  });
}
