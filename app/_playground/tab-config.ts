import { sampleTraining } from "../../gpu/data/sample-run.ts";
import { type TrainingConfigInput, totalSteps } from "../../gpu/sae/config.ts";
import { scheduleDefaults } from "../_runs/source-defaults.ts";

/** What the Playground lets one choose. */
export interface TabOptions {
  d_sae: number;
  k: number;
  lr: number;
  steps: number;
  seed: number;
}

/** The sample run's own. */
export const sampleOptions: TabOptions = {
  d_sae: sampleTraining.d_sae,
  k: sampleTraining.k,
  lr: sampleTraining.lr,
  steps: totalSteps(sampleTraining),
  seed: sampleTraining.seed,
};

/** The sample run with these options; its schedule is stretched to the steps. */
export function tabConfig({ steps, ...options }: TabOptions): TrainingConfigInput {
  return {
    ...sampleTraining,
    ...scheduleDefaults(steps),
    ...options,
    training_tokens: steps * sampleTraining.train_batch_size_tokens,
  };
}
