import { sampleTraining } from "../../gpu/data/sample-run.ts";
import { type BaseArchitecture, baseOf } from "../../gpu/sae/architecture.ts";
import { type TrainingConfigInput, totalSteps } from "../../gpu/sae/config.ts";
import { syntheticLr } from "../_runs/source-defaults.ts";

/** What the Playground lets one choose. */
export interface TabOptions {
  architecture: BaseArchitecture;
  d_sae: number;
  /** Where a fixed number of features is kept. */
  k: number;
  /** Where a penalty is steered: features of the sample that fire on a token, in the mean. */
  target_l0: number;
  lr: number;
  steps: number;
  seed: number;
}

/** The sample run's own, with the learning rate that an architecture needs on it. */
export function optionsFor(architecture: BaseArchitecture): TabOptions {
  return {
    architecture,
    d_sae: sampleTraining.d_sae,
    k: sampleTraining.k,
    target_l0: 4.3,
    lr: syntheticLr(architecture),
    steps: totalSteps(sampleTraining),
    seed: sampleTraining.seed,
  };
}

export const sampleOptions = optionsFor(baseOf(sampleTraining));

/** Whether an architecture keeps a fixed number of features, so that `k` is chosen and not `target_l0`. */
export function keepsFixedNumber(architecture: BaseArchitecture): boolean {
  return ["topk", "batchtopk", "matryoshka_batchtopk"].includes(architecture);
}

/** A training on the sample with these options. */
export function tabConfig({
  architecture,
  steps,
  k,
  target_l0,
  ...options
}: TabOptions): TrainingConfigInput {
  const { d_in, train_batch_size_tokens, dead_feature_window_tokens, metrics_every_steps } = sampleTraining;
  return {
    architecture,
    d_in,
    train_batch_size_tokens,
    dead_feature_window_tokens,
    metrics_every_steps,
    ...(keepsFixedNumber(architecture) ? { k } : { target_l0 }),
    ...options,
    training_tokens: steps * train_batch_size_tokens,
  };
}
