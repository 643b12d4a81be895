import { type BaseArchitecture, baseOf } from "../../../gpu/sae/architecture.ts";
import type { TrainingConfig } from "../../../gpu/sae/config.ts";
import { batchtopk } from "./batchtopk.ts";
import { gated } from "./gated.ts";
import { jumprelu } from "./jumprelu.ts";
import { matryoshkaBatchtopk } from "./matryoshka-batchtopk.ts";
import { pose } from "./problem.ts";
import { standard } from "./standard.ts";
import { topk } from "./topk.ts";
import type { BaseResult, Context, ForwardPass, LossAndGradients, Parameters, Problem } from "./types.ts";

/** Transcoders and crosscoders are these on other widths: see `Problem`, `errorOf` and `penaltyNorms`. */
const bases: Record<BaseArchitecture, (problem: Problem) => BaseResult> = {
  standard,
  gated,
  jumprelu,
  topk,
  batchtopk,
  matryoshka_batchtopk: matryoshkaBatchtopk,
};

/** Losses of a batch and their gradients, before projection. @param x [B, input]. @param y [B, output]. */
export function lossAndGradients(
  parameters: Parameters,
  x: Float64Array,
  y: Float64Array,
  config: TrainingConfig,
  context: Context,
): LossAndGradients {
  const problem = pose(parameters, x, y, config, context);
  const result = bases[baseOf(config)](problem);
  const error = result.errors.at(-1)!;
  return {
    ...result,
    loss: result.mse_loss + result.sparsity_loss + result.aux_loss,
    l0: result.features.filter((value) => value > 0).length / problem.B,
    error,
    reconstruction: error.map((e, at) => e + y[at]!),
    gradients: problem.gradients,
  };
}

/** Features and reconstruction as in training: batchtopk and its kin select within this batch. */
export function forward(
  parameters: Parameters,
  x: Float64Array,
  y: Float64Array,
  config: TrainingConfig,
  context: Context,
): ForwardPass {
  const { features, reconstruction, error } = lossAndGradients(parameters, x, y, config, context);
  return { features, reconstruction, error };
}
