import path from "node:path";
import { joinRows } from "../../gpu/data/joined-rows.ts";
import type { RowReader } from "../../gpu/data/shuffle.ts";
import { evaluateSae } from "../../gpu/metrics/evaluate-sae.ts";
import { openStoredRows } from "../activations/rows.ts";
import { readSaeFolder } from "../formats/sae-folder.ts";
import { measuresOf } from "../saes/measures.ts";
import type { EvaluationTask, FromTrainer } from "./messages.ts";

/**
 * Measures an SAE on stored activations, in the process that was forked for it; on the CPU, so no GPU is opened. Sets that
 * keep rows apart from training are measured on those.
 */
export async function evaluate(
  { home, path: folder, setIds, tokens }: EvaluationTask,
  say: (message: FromTrainer) => Promise<void>,
): Promise<void> {
  const { sae } = await readSaeFolder(path.join(home, folder));
  const stored = await Promise.all(setIds.map((id) => openStoredRows(home, [id])));
  try {
    const apart = stored.every((one) => one.held_out !== null);
    const rows = stored.map((one) => (apart ? one.held_out! : one.rows));
    const { input, target } = sidesOf(rows, sae.config.transcoder);
    const wanted = Math.min(tokens, input.n_rows);
    const result = await evaluateSae({
      sae,
      input,
      ...(target === null ? {} : { target }),
      tokens: wanted,
      onProgress: (done) => void say({ type: "evaluating", progress: done / wanted }),
    });
    await say({ type: "evaluated", result: measuresOf(result) });
  } finally {
    await Promise.all(stored.map((one) => one.close()));
  }
}

/** A transcoder's second set is what should come out; any others stand side by side. */
function sidesOf(
  rows: readonly RowReader[],
  transcoder: boolean,
): { input: RowReader; target: RowReader | null } {
  if (!transcoder) return { input: joinRows(rows), target: null };
  const [input, target] = rows;
  if (input === undefined || target === undefined)
    throw new RangeError("A transcoder needs two activation sets.");
  return { input, target };
}
