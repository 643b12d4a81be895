import { widthsOf } from "../../../gpu/sae/architecture.ts";
import type { TrainingConfig } from "../../../gpu/sae/config.ts";
import { kAt, learningRate, sparsityCoefficient } from "../../../gpu/sae/schedule.ts";
import { lossAndGradients } from "./losses.ts";
import { varianceMetrics } from "./metrics.ts";
import { adam, clipFactor, gradientNorm, project, renormalise } from "./optimizer.ts";
import { tensor } from "./problem.ts";
import { average, countSilence, deadFeatures, type ReferenceState } from "./state.ts";
import { isSteered, steer } from "./target-l0.ts";
import type { Context, LossAndGradients } from "./types.ts";

/** Gradients are those after the projection and before clipping. */
export interface ReferenceStep extends LossAndGradients {
  grad_norm: number;
  /** Dead at the start of the step, ascending. */
  dead: number[];
  fvu: number;
  explained_variance: number;
  k: number;
  /** λ, warm-up and multiplier included. */
  sparsity_coefficient: number;
  lr: number;
}

/** What a step at this state takes beside parameters and data. @param step from 0. */
export function contextAt(state: ReferenceState, config: TrainingConfig, step: number): Context {
  const multiplier = isSteered(config) ? Math.exp(state.log_multiplier) : 1;
  return {
    dead: deadFeatures(state, config),
    k: kAt(config, step),
    sparsity_coefficient: sparsityCoefficient(config, step) * multiplier,
  };
}

/**
 * One whole training step, in place.
 * @param x [B, input]. @param y [B, output]; both normalised, the same array for SAEs and crosscoders.
 * @param step from 0.
 */
export function trainStep(
  state: ReferenceState,
  x: Float64Array,
  y: Float64Array,
  config: TrainingConfig,
  step: number,
): ReferenceStep {
  const { parameters } = state;
  const { d_sae } = config;
  const { output } = widthsOf(config);
  const context = contextAt(state, config, step);
  const pass = lossAndGradients(parameters, x, y, config, context);
  const { gradients } = pass;
  const W_dec = tensor(parameters, "W_dec");
  const unit = config.decoder_norm === "unit";
  if (unit) project(W_dec, tensor(gradients, "W_dec"), { d_sae, output });
  const grad_norm = gradientNorm(gradients);
  const lr = learningRate(config, step);
  adam(state, gradients, config, { clip: clipFactor(config, grad_norm), lr, step });
  if (unit) renormalise(W_dec, { d_sae, output });
  const { threshold } = parameters;
  threshold?.forEach((value, i) => {
    threshold[i] = Math.max(value, 0);
  });
  if (config.ema_decay !== null) average(state, config.ema_decay);
  countSilence(state, pass.features);
  if (pass.smallest_kept !== null) {
    state.threshold_mean += config.topk_threshold_lr * (pass.smallest_kept - state.threshold_mean);
  }
  steer(state, config, step, pass.l0);
  return { ...pass, ...context, ...varianceMetrics(y, pass.error, output), grad_norm, lr };
}
