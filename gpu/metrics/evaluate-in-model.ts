import type { TokenReader } from "../data/tokens.ts";
import type { Gpu } from "../device/gpu.ts";
import type { ModelSpec } from "../lm/model-spec.ts";
import type { Precision } from "../lm/precision.ts";
import type { WeightSource } from "../lm/weights.ts";
import type { Sae } from "../sae/sae.ts";
import type { Firing } from "./firing.ts";

export interface EvaluateInModelOptions {
  gpu: Gpu;
  spec: ModelSpec;
  weights: WeightSource;
  /** Of the model's weights; default f32. */
  precision?: Precision;
  tokens: TokenReader;
  /** What the SAE reads. */
  hook: string;
  /** What a transcoder replaces, later in the pass; default: `hook`. */
  hook_out?: string;
  sae: Sae;
  first_sequence: number;
  n_sequences: number;
  /** Sequences of one pass; results do not depend on it. */
  sequences_together?: number;
  /** What mean ablation puts in place, [d_out]; default: the mean of the evaluated text tokens, in a pass of its own. */
  mean?: Float32Array;
  signal?: AbortSignal;
  /** Sequences done, of n_sequences; a pass for the mean counts its own. */
  onProgress?(progress: { stage: "mean" | "losses"; sequences: number; n_sequences: number }): void;
}

export interface InModelEvaluation {
  /** Text tokens whose activations were replaced. */
  n_tokens: number;
  /** Predictions whose target is a text token: what losses and divergences are means over. */
  n_predictions: number;
  /** Mean loss in nats: of the model, with the SAE's reconstruction, with zeros, with the mean activation in its place. */
  ce_clean: number;
  ce_spliced: number;
  ce_zero: number;
  ce_mean: number;
  /** (ce_zero − ce_spliced) / (ce_zero − ce_clean); null where the ablation changes nothing. */
  loss_recovered: number | null;
  /** The same with ce_mean. */
  loss_recovered_mean: number | null;
  /** ce_spliced − ce_clean (Gemma Scope's delta LM loss). */
  delta_ce: number;
  /** Mean KL(clean ‖ spliced) of the next-token distributions, in nats. */
  kl: number;
  kl_zero: number;
  kl_mean: number;
  /** (kl_zero − kl) / kl_zero; null where the ablation changes nothing. */
  kl_recovered: number | null;
  l0: number;
  fvu: number | null;
  explained_variance: number | null;
  mse: number | null;
  cossim: number | null;
  l2_ratio: number | null;
  firing: Firing;
  /** Share of the text tokens on which a feature fires, [d_sae]. */
  feature_frequency: Float64Array;
}
