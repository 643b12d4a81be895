import type { TrainingConfig } from "./config.ts";
import { totalSteps } from "./config.ts";

/**
 * Learning rate of a step (from 0). With W warm-up and D decay steps of T in all, as SAELens' linear schedules:
 *   lr · min(1, (step + 1) / W) · min(1, (T − step) / D)
 * so the first step takes lr / W, the first decaying step still the whole lr, and step T would take zero.
 */
export function learningRate(config: TrainingConfig, step: number): number {
  const { lr, lr_warm_up_steps: warmUp, lr_decay_steps: decay } = config;
  const rise = warmUp === 0 ? 1 : Math.min(1, (step + 1) / warmUp);
  const fall = decay === 0 ? 1 : Math.min(1, Math.max(0, totalSteps(config) - step) / decay);
  return lr * rise * fall;
}
