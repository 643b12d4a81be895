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
import { tensor } from "./problem.ts";
import type { BaseResult, Problem } from "./types.ts";

/** Gated: gpu/sae/gated.ts. In aux_loss the whole decoder, W_skip included, is a constant. */
export function gated(problem: Problem): BaseResult {
  const { context, parameters, gradients, B, d_sae } = problem;
  const weight = context.sparsity_coefficient / B;
  const b_mag = tensor(parameters, "b_mag");
  const size = tensor(parameters, "r_mag").map(Math.exp);
  const h = encode(problem, null);
  const z = encode(problem, "b_gate");
  const m = h.map((value, at) => value * size[at % d_sae]! + b_mag[at % d_sae]!);
  const f = m.map((value, at) => (z[at]! > 0 ? Math.max(value, 0) : 0));
  const a = z.map((value) => Math.max(value, 0));

  const error = errorOf(problem, f);
  const slope = slopeOf(problem, error);
  backwardOutput(problem, slope);
  backwardDecoder(problem, f, slope);
  const dm = new Float64Array(h.length);
  backwardActivations(problem, dm, slope, (at) => f[at]! > 0);

  const auxError = errorOf(problem, a, d_sae, context.held?.decoder);
  const dz = new Float64Array(h.length);
  backwardActivations(problem, dz, slopeOf(problem, auxError), (at) => a[at]! > 0);

  const norms = penaltyNorms(problem);
  const normFactors = new Float64Array(d_sae);
  let sparsity_loss = 0;
  a.forEach((activation, at) => {
    if (activation === 0) return;
    sparsity_loss += weight * activation * norms[at % d_sae]!;
    dz[at]! += weight * norms[at % d_sae]!;
    normFactors[at % d_sae]! += weight * activation;
  });
  backwardNorms(problem, normFactors);

  const r_mag = tensor(gradients, "r_mag");
  dm.forEach((slope, at) => {
    r_mag[at % d_sae]! += slope * h[at]! * size[at % d_sae]!;
  });
  backwardBias(problem, "b_mag", dm);
  backwardBias(problem, "b_gate", dz);
  backwardEncoder(
    problem,
    dz.map((slope, at) => slope + dm[at]! * size[at % d_sae]!),
  );
  const mse_loss = squares(error) / B;
  const aux_loss = squares(auxError) / B;
  return { features: f, errors: [error], z, mse_loss, sparsity_loss, aux_loss, smallest_kept: null };
}
