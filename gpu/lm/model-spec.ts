import { canonicalWeights } from "./canonical-weights.ts";
import type { FamilyName } from "./families/index.ts";
import { width } from "./layout.ts";

/**
 * `gelu` is x Φ(x); `gelu_tanh` its approximation ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))) (Hendrycks & Gimpel 2016).
 */
export type Activation = "gelu" | "gelu_tanh" | "silu" | "relu";

export interface NormSpec {
  /** `layer` takes the mean away first (Ba et al. 2016); `rms` does not (Zhang & Sennrich 2019). */
  kind: "layer" | "rms";
  /** Added to the mean square under the root. */
  eps: number;
  /** Added to the stored weight: 1 in Gemma. */
  offset: 0 | 1;
}

/** Scaling of the rotary frequencies for contexts longer than those first trained on. */
export type RotaryScaling =
  | { type: "linear"; factor: number }
  | {
      type: "llama3";
      factor: number;
      low_freq_factor: number;
      high_freq_factor: number;
      original_context: number;
    };

/** Rotary positions in the rotate_half form (Su et al. 2021, as in GPT-NeoX). */
export interface RotarySpec {
  /** Leading numbers of a head that are rotated; even. */
  dims: number;
  theta: number;
  scaling: RotaryScaling | null;
}

export interface LayerSpec {
  /** Last positions a query attends to, its own included; null: all before it. */
  window: number | null;
  /** Null where positions are learned. */
  rotary: RotarySpec | null;
}

/** A decoder-only language model: its sizes and what its blocks compute. Plain data. */
export interface ModelSpec {
  family: FamilyName;
  /** Hugging Face's `model_type`. */
  model_type: string;
  d_model: number;
  n_layers: number;
  n_heads: number;
  /** Heads of keys and values, each shared by n_heads / n_kv_heads queries. */
  n_kv_heads: number;
  d_head: number;
  d_mlp: number;
  d_vocab: number;
  /** Longest sequence, in tokens. */
  n_ctx: number;
  norm: NormSpec;
  /** Attention and MLP both read the residual stream as it enters the block. */
  parallel: boolean;
  /** The MLP reads what attention reads, ln1's output; only in parallel blocks. */
  shared_norm: boolean;
  /** What attention and MLP give is normalised before it is added to the residual stream. */
  post_norms: boolean;
  /** A learned vector a position, added to the embedding. */
  learned_positions: boolean;
  /** What differs between layers, n_layers of them. */
  layers: LayerSpec[];
  /** Factor of query · key. */
  attention_scale: number;
  /** Scores s become c tanh(s / c); null: they stay. */
  attention_softcap: number | null;
  /** The same of logits. */
  logit_softcap: number | null;
  /** Norm of each head's queries and keys, before rotation. */
  qk_norm: NormSpec | null;
  biases: { qkv: boolean; attn_out: boolean; mlp: boolean; head: boolean };
  mlp: { gated: boolean; activation: Activation };
  /** Factor of token embeddings. */
  embedding_scale: number;
  /** The head is the embedding. */
  tied_head: boolean;
}

/** Trained numbers of the model; a tied head counts once. */
export function parameterCount(spec: ModelSpec): number {
  let count = 0;
  for (const { rows, columns } of canonicalWeights(spec)) {
    count += width(rows) * (columns === null ? 1 : width(columns));
  }
  return count;
}

/** A model that Facet cannot run as it is: the message names its type and what is missing. */
export class UnsupportedModelError extends Error {
  override readonly name = "UnsupportedModelError";
  readonly model_type: string;
  readonly missing: string;

  constructor(model_type: string, missing: string) {
    super(`A model of type ${quoted(model_type)} cannot be run: ${missing}`);
    this.model_type = model_type;
    this.missing = missing;
  }
}

/** A config.json that makes no sense; the message says where. */
export class ModelConfigError extends Error {
  override readonly name = "ModelConfigError";
}

/** Text from a file, short enough for a message. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
