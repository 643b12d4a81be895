import { auxK } from "./auxk.ts";
import {
  backwardActivations,
  backwardBias,
  backwardDecoder,
  backwardEncoder,
  backwardOutput,
  slopeOf,
} from "./backward.ts";
import { encode, errorOf, squares } from "./linear.ts";
import { rankingOf } from "./selection.ts";
import type { BaseResult, Problem } from "./types.ts";

/** Pre-activations, how they rank, and the gradient at them that reconstructions add to; all [B, d_sae]. */
export interface FixedCountPass {
  z: Float64Array;
  ranking: Float64Array;
  dz: Float64Array;
}

export function beginFixedCount(problem: Problem): FixedCountPass {
  const z = encode(problem, "b_enc");
  return { z, ranking: rankingOf(problem, z), dz: new Float64Array(z.length) };
}

/**
 * weight/B Σ ‖e‖² of reconstructing with the features below `below` alone; adds its gradients, level by level rather
 * than by the suffix sums of the kernels.
 */
export function reconstruct(
  problem: Problem,
  { dz }: FixedCountPass,
  f: Float64Array,
  { below = problem.d_sae, weight = 1 }: { below?: number; weight?: number },
): { error: Float64Array; loss: number } {
  const error = errorOf(problem, f, below);
  const slope = slopeOf(problem, error, weight);
  backwardOutput(problem, slope);
  backwardDecoder(problem, f, slope, below);
  backwardActivations(problem, dz, slope, (at) => f[at]! > 0, below);
  return { error, loss: (weight / problem.B) * squares(error) };
}

/** AuxK of every level, the encoder's gradients from dz, and the result. @param levels widths of the dictionaries. */
export function finishFixedCount(
  problem: Problem,
  pass: FixedCountPass,
  result: Omit<BaseResult, "z" | "sparsity_loss">,
  auxLevels: readonly { width: number; level: number }[],
): BaseResult {
  const { held, dead } = problem.context;
  let { aux_loss } = result;
  for (const { width, level } of auxLevels) {
    const e = held?.errors?.[level] ?? result.errors[level]!;
    aux_loss += auxK(
      problem,
      pass,
      e,
      dead.filter((i) => i < width),
    );
  }
  backwardEncoder(problem, pass.dz);
  backwardBias(problem, "b_enc", pass.dz);
  return { ...result, aux_loss, sparsity_loss: 0, z: pass.z };
}
