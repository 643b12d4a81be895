import type { TrainingConfig } from "../../../gpu/sae/config.ts";

/** Tensors, gradients or moments by parameter name, with the shapes of `parameterShapes`. */
export type Parameters = Record<string, Float64Array>;

/** What a step depends on beside parameters and data. */
export interface Context {
  /** Features taken as dead, ascending. */
  dead: number[];
  /** Features kept per token (topk family). */
  k: number;
  /** λ, warm-up and multiplier included. */
  sparsity_coefficient: number;
  /**
   * For finite differences: values that the losses treat as constants, kept at an earlier point. Left out, they are
   * those of the pass itself.
   */
  held?: Held;
}

export interface Held {
  /** AuxK's targets, one per level of reconstruction, [B, output]. */
  errors?: readonly Float64Array[];
  /** Decoder of gated's aux_loss: W_dec, b_dec and, where there is one, W_skip. */
  decoder?: Parameters;
}

export interface ForwardPass {
  /** f [B, d_sae], as decoded: never times the decoder norm. */
  features: Float64Array;
  /** x̂ or ŷ, all features together, [B, output]. */
  reconstruction: Float64Array;
  /** reconstruction − y, [B, output]. */
  error: Float64Array;
}

export interface Losses {
  mse_loss: number;
  sparsity_loss: number;
  aux_loss: number;
}

/** What one architecture makes of a batch; its gradients are added to `Problem.gradients`. */
export interface BaseResult extends Losses {
  features: Float64Array;
  /** Errors of the nested dictionaries, the full one last; one but for matryoshka. */
  errors: Float64Array[];
  /** Pre-activations [B, d_sae] (gated: π); tests measure the distance from kinks on them. */
  z: Float64Array;
  /** batchtopk family: the smallest value kept, by which it was ranked; null where nothing was kept. */
  smallest_kept: number | null;
}

export interface LossAndGradients extends BaseResult, ForwardPass {
  loss: number;
  /** Mean number of features with f > 0 per token. */
  l0: number;
  /** Of `loss`, before projection and clipping. */
  gradients: Parameters;
}

/** One batch and one set of parameters, with everything about their sizes; gradients start at zero. */
export interface Problem {
  config: TrainingConfig;
  context: Context;
  parameters: Parameters;
  gradients: Parameters;
  B: number;
  d_sae: number;
  input: number;
  output: number;
  /** [B, input], and what is encoded of it: x − b_dec or x. */
  x: Float64Array;
  encoded: Float64Array;
  /** [B, output]. */
  y: Float64Array;
}
