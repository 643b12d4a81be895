import { squares } from "./linear.ts";
import { tensor } from "./problem.ts";
import type { Problem } from "./types.ts";

/** Columns of W_dec that have a norm of their own: a hook point's in a crosscoder, else the whole row. */
function segment({ config, output }: Problem): number {
  return config.architecture === "crosscoder" ? config.d_in : output;
}

/** N_i of every penalty, by which features are also ranked, [d_sae]: ‖W_dec[i]‖, for a crosscoder the sum of its hook points' norms. */
export function penaltyNorms(problem: Problem): Float64Array {
  return segmentNorms(problem, segment(problem));
}

function segmentNorms({ d_sae, output, parameters }: Problem, width: number): Float64Array {
  const W_dec = tensor(parameters, "W_dec");
  return Float64Array.from({ length: d_sae }, (_, i) => {
    let sum = 0;
    for (let from = i * output; from < (i + 1) * output; from += width) {
      sum += Math.sqrt(squares(W_dec.subarray(from, from + width)));
    }
    return sum;
  });
}

/** gW_dec[i] += factors_i ∂N_i/∂W_dec[i], which is zero where the norm is. @param factors [d_sae]. */
export function backwardNorms(problem: Problem, factors: Float64Array): void {
  const { d_sae, output, parameters, gradients } = problem;
  const W_dec = tensor(parameters, "W_dec");
  const gW_dec = tensor(gradients, "W_dec");
  const width = segment(problem);
  for (let from = 0; from < d_sae * output; from += width) {
    const factor = factors[Math.floor(from / output)]!;
    const norm = Math.sqrt(squares(W_dec.subarray(from, from + width)));
    if (norm === 0) continue;
    for (let at = from; at < from + width; at++) gW_dec[at]! += (factor * W_dec[at]!) / norm;
  }
}
