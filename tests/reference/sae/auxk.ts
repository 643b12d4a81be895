import { nominalAuxK } from "../../../gpu/sae/schedule.ts";
import { backwardActivations, backwardDecoder, slopeOf } from "./backward.ts";
import { addRow, squares } from "./linear.ts";
import { tensor } from "./problem.ts";
import { largest } from "./selection.ts";
import type { Problem } from "./types.ts";

/**
 * AuxK against one residual: loss a/B Σ ‖r̂ + e‖², r̂ = Σ_{i in A} z_i W_dec[i], e a constant. Adds its gradients.
 * @param z, ranking [B, d_sae]; A is chosen by ranking, not rectified.
 * @param e the error to explain, [B, output].
 * @param dead candidates, ascending.
 * @param dz gradient at z, added to.
 */
export function auxK(
  problem: Problem,
  { z, ranking, dz }: { z: Float64Array; ranking: Float64Array; dz: Float64Array },
  e: Float64Array,
  dead: readonly number[],
): number {
  const { config, parameters, B, d_sae, output } = problem;
  const nominal = nominalAuxK(config);
  if (nominal === 0 || dead.length === 0) return 0;
  const scale = config.aux_loss_coefficient * Math.min(dead.length / nominal, 1);
  const W_dec = tensor(parameters, "W_dec");
  const chosen = new Set<number>();
  const left = e.slice();
  for (let t = 0; t < B; t++) {
    const row = ranking.subarray(t * d_sae, (t + 1) * d_sae);
    for (const i of largest(row, dead, Math.min(nominal, dead.length))) {
      chosen.add(t * d_sae + i);
      addRow(left, t, z[t * d_sae + i]!, W_dec, i, output);
    }
  }
  const slope = slopeOf(problem, left, scale);
  const activations = z.map((value, at) => (chosen.has(at) ? value : 0));
  backwardDecoder(problem, activations, slope);
  backwardActivations(problem, dz, slope, (at) => chosen.has(at));
  return (scale / B) * squares(left);
}
