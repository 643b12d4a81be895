import { z } from "zod";
import type { ModelSpec } from "../model-spec.ts";
import { activationOf, eps, headsOf, layerTypes, parse, rotaryFields, rotaryOf, sizes } from "./config.ts";

/** Fields that Llama and the families after it share. */
export const gatedRmsFields = {
  hidden_size: sizes.width,
  num_hidden_layers: sizes.layers,
  num_attention_heads: sizes.heads,
  num_key_value_heads: sizes.heads.nullish(),
  head_dim: sizes.d_head.nullish(),
  intermediate_size: sizes.d_mlp,
  vocab_size: sizes.vocab,
  max_position_embeddings: sizes.context.default(2048),
  hidden_act: z.string().default("silu"),
  rms_norm_eps: eps.default(1e-6),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(false),
  layer_types: layerTypes,
  ...rotaryFields,
};

const schema = z.object(gatedRmsFields);

/**
 * Llama's block, from which the families after it differ in a few fields: RMSNorm, rotary positions of base 10,000,
 * grouped queries, a gated MLP.
 */
export function describeGatedRms(config: unknown, model_type: string): Omit<ModelSpec, "family"> {
  const c = parse(schema, config);
  const n_heads = c.num_attention_heads;
  const heads = headsOf(c.hidden_size, n_heads, c.num_key_value_heads ?? n_heads, c.head_dim);
  const rotary = rotaryOf(model_type, heads.d_head, c, { theta: 10_000, share: 1 });
  return {
    model_type,
    d_model: c.hidden_size,
    n_layers: c.num_hidden_layers,
    ...heads,
    d_mlp: c.intermediate_size,
    d_vocab: c.vocab_size,
    n_ctx: c.max_position_embeddings,
    norm: { kind: "rms", eps: c.rms_norm_eps, offset: 0 },
    parallel: false,
    shared_norm: false,
    post_norms: false,
    learned_positions: false,
    layers: Array.from({ length: c.num_hidden_layers }, () => ({ window: null, rotary })),
    attention_scale: heads.d_head ** -0.5,
    attention_softcap: null,
    logit_softcap: null,
    qk_norm: null,
    biases: { qkv: c.attention_bias, attn_out: c.attention_bias, mlp: c.mlp_bias, head: false },
    mlp: { gated: true, activation: activationOf(model_type, c.hidden_act) },
    embedding_scale: 1,
    tied_head: c.tie_word_embeddings,
  };
}

/** The layers with a window where `sliding` says so. */
export function windowed(
  spec: Omit<ModelSpec, "family">,
  sliding: readonly boolean[],
  window: number | null,
): ModelSpec["layers"] {
  return spec.layers.map((layer, i) => ({ ...layer, window: sliding[i] ? window : null }));
}
