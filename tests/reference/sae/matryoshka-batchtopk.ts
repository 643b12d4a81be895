import { matryoshkaWidths } from "../../../gpu/sae/matryoshka-batchtopk.ts";
import { beginFixedCount, finishFixedCount, reconstruct } from "./fixed-count.ts";
import { keepPerBatch } from "./selection.ts";
import type { BaseResult, Problem } from "./types.ts";

/** Matryoshka BatchTopK: gpu/sae/matryoshka-batchtopk.ts. */
export function matryoshkaBatchtopk(problem: Problem): BaseResult {
  const { config, context, B } = problem;
  const pass = beginFixedCount(problem);
  const { f, smallest_kept } = keepPerBatch(pass.z, pass.ranking, Math.floor(context.k * B));
  const errors: Float64Array[] = [];
  let mse_loss = 0;
  const widths = matryoshkaWidths(config);
  for (const below of widths) {
    const { error, loss } = reconstruct(problem, pass, f, { below });
    errors.push(error);
    mse_loss += loss;
  }
  const levels = widths.map((width, level) => ({ width, level }));
  const auxLevels = config.use_matryoshka_aux_loss ? levels : levels.slice(-1);
  return finishFixedCount(
    problem,
    pass,
    { features: f, errors, mse_loss, aux_loss: 0, smallest_kept },
    auxLevels,
  );
}
