import { z } from "zod";
import type { ModelSpec } from "../model-spec.ts";
import { activationOf, eps, headsOf, parse, rotaryFields, rotaryOf, sizes, theta } from "./config.ts";
import type { Family, TensorPart } from "./family.ts";

const schema = z.object({
  hidden_size: sizes.width,
  num_hidden_layers: sizes.layers,
  num_attention_heads: sizes.heads,
  intermediate_size: sizes.d_mlp,
  vocab_size: sizes.vocab,
  max_position_embeddings: sizes.context.default(2048),
  hidden_act: z.string().default("gelu"),
  layer_norm_eps: eps.default(1e-5),
  use_parallel_residual: z.boolean().default(true),
  attention_bias: z.boolean().default(true),
  tie_word_embeddings: z.boolean().default(false),
  ...rotaryFields,
  rotary_pct: z.number().gt(0).max(1).default(0.25),
  rotary_emb_base: theta.default(10_000),
});

/** query_key_value has each head's queries, keys and values one after the other: [heads, 3, d_head]. */
function attention({ d_head, n_heads }: ModelSpec, third: number, name: "weight" | "bias"): TensorPart {
  return {
    tensor: `attention.query_key_value.${name}`,
    total: 3 * n_heads * d_head,
    first: third * d_head,
    block: d_head,
    stride: 3 * d_head,
  };
}

/** GPT-NeoX and Pythia. */
export const gptNeox: Family = {
  model_types: ["gpt_neox"],
  describe(config, model_type) {
    const c = parse(schema, config);
    const heads = headsOf(c.hidden_size, c.num_attention_heads, c.num_attention_heads, null);
    const defaults = { theta: c.rotary_emb_base, share: c.rotary_pct };
    const rotary = rotaryOf(model_type, heads.d_head, c, defaults);
    return {
      model_type,
      d_model: c.hidden_size,
      n_layers: c.num_hidden_layers,
      ...heads,
      d_mlp: c.intermediate_size,
      d_vocab: c.vocab_size,
      n_ctx: c.max_position_embeddings,
      norm: { kind: "layer", eps: c.layer_norm_eps, offset: 0 },
      parallel: c.use_parallel_residual,
      shared_norm: false,
      post_norms: false,
      learned_positions: false,
      layers: Array.from({ length: c.num_hidden_layers }, () => ({ window: null, rotary })),
      attention_scale: heads.d_head ** -0.5,
      attention_softcap: null,
      logit_softcap: null,
      qk_norm: null,
      biases: { qkv: c.attention_bias, attn_out: c.attention_bias, mlp: true, head: false },
      mlp: { gated: false, activation: activationOf(model_type, c.hidden_act) },
      embedding_scale: 1,
      tied_head: c.tie_word_embeddings,
    };
  },
  weights: (spec) => ({
    prefixes: ["gpt_neox.", ""],
    layer: (index) => `layers.${index}.`,
    model: {
      W_E: "embed_in.weight",
      ln_final_w: "final_layer_norm.weight",
      ln_final_b: "final_layer_norm.bias",
      W_U: "embed_out.weight",
    },
    block: {
      ln1_w: "input_layernorm.weight",
      ln1_b: "input_layernorm.bias",
      W_Q: attention(spec, 0, "weight"),
      b_Q: attention(spec, 0, "bias"),
      W_K: attention(spec, 1, "weight"),
      b_K: attention(spec, 1, "bias"),
      W_V: attention(spec, 2, "weight"),
      b_V: attention(spec, 2, "bias"),
      W_O: "attention.dense.weight",
      b_O: "attention.dense.bias",
      ln2_w: "post_attention_layernorm.weight",
      ln2_b: "post_attention_layernorm.bias",
      W_in: "mlp.dense_h_to_4h.weight",
      b_in: "mlp.dense_h_to_4h.bias",
      W_out: "mlp.dense_4h_to_h.weight",
      b_out: "mlp.dense_4h_to_h.bias",
    },
  }),
};
