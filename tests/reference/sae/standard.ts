import {
  backwardActivations,
  backwardBias,
  backwardDecoder,
  backwardEncoder,
  backwardOutput,
  slopeOf,
} from "./backward.ts";
import { encode, errorOf, squares } from "./linear.ts";
import { backwardNorms, penaltyNorms } from "./norms.ts";
import type { BaseResult, Problem } from "./types.ts";

/** ReLU with λ/B Σ_t ‖f ⊙ N‖_p: gpu/sae/standard.ts. */
export function standard(problem: Problem): BaseResult {
  const { config, context, B, d_sae } = problem;
  const p = config.lp_norm;
  const weight = context.sparsity_coefficient / B;
  const z = encode(problem, "b_enc");
  const f = z.map((value) => Math.max(value, 0));
  const error = errorOf(problem, f);
  const slope = slopeOf(problem, error);
  backwardOutput(problem, slope);
  backwardDecoder(problem, f, slope);
  const dz = new Float64Array(z.length);
  backwardActivations(problem, dz, slope, (at) => z[at]! > 0);

  const norms = penaltyNorms(problem);
  const normFactors = new Float64Array(d_sae);
  let sparsity_loss = 0;
  for (let t = 0; t < B; t++) {
    const u = norms.map((norm, i) => norm * f[t * d_sae + i]!);
    const size = u.reduce((sum, value) => sum + value ** p, 0) ** (1 / p);
    sparsity_loss += weight * size;
    // At the origin the norm has no gradient; its subgradient 0 leaves a silent token alone.
    if (size === 0) continue;
    for (let i = 0; i < d_sae; i++) {
      if (z[t * d_sae + i]! <= 0) continue;
      const s = (u[i]! / size) ** (p - 1);
      dz[t * d_sae + i]! += weight * s * norms[i]!;
      normFactors[i]! += weight * s * f[t * d_sae + i]!;
    }
  }
  backwardNorms(problem, normFactors);
  backwardEncoder(problem, dz);
  backwardBias(problem, "b_enc", dz);
  const mse_loss = squares(error) / B;
  return { features: f, errors: [error], z, mse_loss, sparsity_loss, aux_loss: 0, smallest_kept: null };
}
