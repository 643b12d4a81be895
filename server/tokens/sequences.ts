import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { awaiting } from "../awaiting.ts";
import { readyTokenization } from "./list.ts";
import type { SequencePage } from "./views.ts";

export const sequencesInput = z.object({
  id: z.uuid(),
  start: z.number().int().min(0).default(0),
  count: z.number().int().min(1).max(50).default(10),
});

/** Sequences from `start` on, token by token. Throws `NotFoundError`, `ConflictError`. */
export async function tokenizationSequences(
  db: Executor,
  _home: string,
  input: z.output<typeof sequencesInput>,
): Promise<SequencePage> {
  await readyTokenization(db, input.id);
  return awaiting("Browsing tokens");
}
