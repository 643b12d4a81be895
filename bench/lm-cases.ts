import { describeModel } from "../gpu/lm/families/index.ts";
import { blockHook } from "../gpu/lm/hook-points.ts";
import type { ModelSpec } from "../gpu/lm/model-spec.ts";
import type { Precision } from "../gpu/lm/precision.ts";

/** A forward pass of a model of a published shape, with fewer layers where the adapter is slow; weights are random. */
export interface LmCase {
  /** Whose shape it is. */
  name: string;
  /** The shape as Hugging Face's config.json has it. */
  config: Readonly<Record<string, unknown>>;
  precision: Precision;
  n_sequences: number;
  length: number;
}

type Shape = Pick<LmCase, "name" | "config">;

// A pass up to the last block reads a few of the vocabulary's rows and no more: a small one loads sooner.
const vocab_size = 4096;

const gpt2 = (n_layer: number): Shape => ({
  name: "gpt2 124M",
  config: { model_type: "gpt2", n_embd: 768, n_head: 12, n_layer, n_positions: 1024, vocab_size },
});

const pythia = (num_hidden_layers: number): Shape => ({
  name: "pythia 70M",
  config: {
    ...{ model_type: "gpt_neox", hidden_size: 512, intermediate_size: 2048, num_attention_heads: 8 },
    ...{ num_hidden_layers, max_position_embeddings: 2048, rotary_pct: 0.25, vocab_size },
  },
});

const qwen = (num_hidden_layers: number): Shape => ({
  name: "qwen2.5 0.5B",
  config: {
    ...{ model_type: "qwen2", hidden_size: 896, intermediate_size: 4864, num_attention_heads: 14 },
    ...{ num_key_value_heads: 2, num_hidden_layers, max_position_embeddings: 32_768, vocab_size },
    tie_word_embeddings: true,
  },
});

const gemma = (num_hidden_layers: number): Shape => ({
  name: "gemma2 2B",
  config: {
    ...{ model_type: "gemma2", hidden_size: 2304, intermediate_size: 9216, num_attention_heads: 8 },
    ...{
      num_key_value_heads: 4,
      head_dim: 256,
      num_hidden_layers,
      max_position_embeddings: 8192,
      vocab_size,
    },
    ...{ query_pre_attn_scalar: 256, sliding_window: 4096 },
    ...{ attn_logit_softcapping: 50, final_logit_softcapping: 30 },
  },
});

const tiny: Shape = {
  name: "gpt2 tiny",
  config: { model_type: "gpt2", n_embd: 64, n_head: 4, n_layer: 2, n_positions: 64, vocab_size: 256 },
};

const inAll = (shape: Shape, size: Pick<LmCase, "n_sequences" | "length">): LmCase[] =>
  (["f32", "f16", "int8"] as const).map((precision) => ({ ...shape, precision, ...size }));

/** What an adapter of this kind runs in reasonable time. */
export function standardLmCases(software: boolean, quick: boolean): LmCase[] {
  if (quick) return [{ ...tiny, precision: "f32", n_sequences: 2, length: 32 }];
  if (software) {
    const size = { n_sequences: 1, length: 128 };
    return [
      ...inAll(gpt2(1), size),
      ...[pythia(2), qwen(1)].map((shape) => ({ ...shape, precision: "f32" as const, ...size })),
    ];
  }
  const size = { n_sequences: 16, length: 512 };
  return [gpt2(12), pythia(6), qwen(24), gemma(4)].flatMap((shape) => inAll(shape, size));
}

export function lmSpec({ config }: LmCase): ModelSpec {
  return describeModel(config);
}

/** The hook point at which a case's pass ends: what the last block leaves. */
export function lmHook(spec: ModelSpec): string {
  return blockHook(spec.n_layers - 1, "hook_resid_post");
}

/** A case in a line of text. */
export function lmCaseName(one: LmCase): string {
  const { n_layers, d_model } = lmSpec(one);
  return `${one.name}, ${n_layers} layer${n_layers === 1 ? "" : "s"} of ${d_model}, ${one.precision}, ${one.n_sequences} × ${one.length} tokens`;
}
