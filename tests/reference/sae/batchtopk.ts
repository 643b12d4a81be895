import { beginFixedCount, finishFixedCount, reconstruct } from "./fixed-count.ts";
import { keepPerBatch } from "./selection.ts";
import type { BaseResult, Problem } from "./types.ts";

/** BatchTopK with AuxK: gpu/sae/batchtopk.ts. */
export function batchtopk(problem: Problem): BaseResult {
  const { context, B, d_sae } = problem;
  const pass = beginFixedCount(problem);
  const { f, smallest_kept } = keepPerBatch(pass.z, pass.ranking, Math.floor(context.k * B));
  const { error, loss: mse_loss } = reconstruct(problem, pass, f, {});
  const result = { features: f, errors: [error], mse_loss, aux_loss: 0, smallest_kept };
  return finishFixedCount(problem, pass, result, [{ width: d_sae, level: 0 }]);
}
