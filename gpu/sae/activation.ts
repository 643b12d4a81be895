import type { Dispatch } from "../device/dispatch.ts";
import type { GradientConditions } from "../kernels/feature-gradient.ts";
import type { PlanContext } from "../kernels/grid.ts";
import type { TrainingConfig } from "./config.ts";
import type { StepBuffers } from "./memory.ts";
import type { StepSizes } from "./sizes.ts";

/** What distinguishes the training steps of the base architectures from each other. */
export interface Activation {
  /**
   * From pre-activations to activation bits and to each token's list of active features: in a training step, and in an
   * evaluation, which judges the SAE as it is exported.
   */
  plan(planning: ActivationPlanning, purpose: "training" | "evaluation"): Promise<Dispatch[]>;
  /** The parts of the backward pass it takes. */
  gradient(config: TrainingConfig): GradientConditions;
}

export interface ActivationPlanning {
  context: PlanContext;
  config: TrainingConfig;
  sizes: StepSizes;
  buffers: StepBuffers;
}
