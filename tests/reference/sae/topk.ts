import { beginFixedCount, finishFixedCount, reconstruct } from "./fixed-count.ts";
import { keepPerToken } from "./selection.ts";
import type { BaseResult, Problem } from "./types.ts";

/** TopK with AuxK and, if wanted, Multi-TopK: gpu/sae/topk.ts. */
export function topk(problem: Problem): BaseResult {
  const { config, context, d_sae } = problem;
  const pass = beginFixedCount(problem);
  const features = keepPerToken(problem, pass.z, pass.ranking, context.k);
  const { error, loss: mse_loss } = reconstruct(problem, pass, features, {});
  let aux_loss = 0;
  if (config.multi_topk) {
    const wider = keepPerToken(problem, pass.z, pass.ranking, 4 * context.k);
    aux_loss = reconstruct(problem, pass, wider, { weight: 1 / 8 }).loss;
  }
  const result = { features, errors: [error], mse_loss, aux_loss, smallest_kept: null };
  return finishFixedCount(problem, pass, result, [{ width: d_sae, level: 0 }]);
}
