import { z } from "zod";
import { activationOf, eps, headsOf, parse, refuse, rotaryFields, rotaryOf, sizes } from "./config.ts";
import type { Family } from "./family.ts";
import { llamaWeights } from "./llama-weights.ts";

const schema = z.object({
  hidden_size: sizes.width,
  num_hidden_layers: sizes.layers,
  num_attention_heads: sizes.heads,
  num_key_value_heads: sizes.heads.nullish(),
  intermediate_size: sizes.d_mlp,
  vocab_size: sizes.vocab,
  max_position_embeddings: sizes.context.default(2048),
  hidden_act: z.string().default("gelu_new"),
  layer_norm_eps: eps.default(1e-5),
  qk_layernorm: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(false),
  ...rotaryFields,
});

/** Phi 1 to 2: attention and MLP side by side behind one norm. */
export const phi: Family = {
  model_types: ["phi"],
  describe(config, model_type) {
    const c = parse(schema, config);
    refuse(model_type, c.qk_layernorm, "LayerNorm of queries and keys (qk_layernorm) is not built.");
    const n_heads = c.num_attention_heads;
    const heads = headsOf(c.hidden_size, n_heads, c.num_key_value_heads ?? n_heads, null);
    const rotary = rotaryOf(model_type, heads.d_head, c, { theta: 10_000, share: 0.5 });
    return {
      model_type,
      d_model: c.hidden_size,
      n_layers: c.num_hidden_layers,
      ...heads,
      d_mlp: c.intermediate_size,
      d_vocab: c.vocab_size,
      n_ctx: c.max_position_embeddings,
      norm: { kind: "layer", eps: c.layer_norm_eps, offset: 0 },
      parallel: true,
      shared_norm: true,
      post_norms: false,
      learned_positions: false,
      layers: Array.from({ length: c.num_hidden_layers }, () => ({ window: null, rotary })),
      attention_scale: heads.d_head ** -0.5,
      attention_softcap: null,
      logit_softcap: null,
      qk_norm: null,
      biases: { qkv: true, attn_out: true, mlp: true, head: true },
      mlp: { gated: false, activation: activationOf(model_type, c.hidden_act) },
      embedding_scale: 1,
      tied_head: c.tie_word_embeddings,
    };
  },
  weights: () =>
    llamaWeights(
      {
        ln1_b: "input_layernorm.bias",
        W_O: "self_attn.dense.weight",
        b_O: "self_attn.dense.bias",
        W_in: "mlp.fc1.weight",
        b_in: "mlp.fc1.bias",
        W_out: "mlp.fc2.weight",
        b_out: "mlp.fc2.bias",
      },
      {
        ln_final_w: "final_layernorm.weight",
        ln_final_b: "final_layernorm.bias",
        b_U: "lm_head.bias",
      },
    ),
};
