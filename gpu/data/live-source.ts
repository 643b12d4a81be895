import type { ModelSpec } from "../lm/model-spec.ts";
import type { Precision } from "../lm/precision.ts";
import type { WeightSource } from "../lm/weights.ts";
import type { TokenReader } from "./tokens.ts";

export interface LiveSourceOptions {
  spec: ModelSpec;
  weights: WeightSource;
  tokens: TokenReader;
  /** Hook points whose activations lie side by side in a row, in this order. */
  hooks: readonly string[];
  seed: number;
  /** Last sequences of the set, which are evaluated on and never trained on; default 0, then evaluation takes all. */
  held_out_sequences?: number;
  /** Rows of a window; default: see `windowRows`. A run goes on bit for bit only with the same. */
  bufferTokens?: number;
  /** Sequences of one pass; rows do not depend on it. */
  n_sequences_together?: number;
  /** Of the model's weights; default f32. */
  precision?: Precision;
  /** Ends a window that is being filled. */
  signal?: AbortSignal;
}

