import { z } from "zod";
import type { ModelSpec } from "../model-spec.ts";
import { activationOf, eps, headsOf, parse, refuse, sizes } from "./config.ts";
import type { Family, TensorPart } from "./family.ts";

const schema = z.object({
  n_embd: sizes.width,
  n_layer: sizes.layers,
  n_head: sizes.heads,
  n_positions: sizes.context,
  vocab_size: sizes.vocab,
  n_inner: sizes.d_mlp.nullish(),
  activation_function: z.string().default("gelu_new"),
  layer_norm_epsilon: eps.default(1e-5),
  scale_attn_weights: z.boolean().default(true),
  scale_attn_by_inverse_layer_idx: z.boolean().default(false),
  add_cross_attention: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(true),
});

/** Conv1D stores [in, out]; c_attn has the outputs of queries, keys and values side by side. */
function attention({ d_model }: ModelSpec, third: number, name: "weight" | "bias"): TensorPart {
  return {
    tensor: `attn.c_attn.${name}`,
    transposed: name === "weight",
    total: 3 * d_model,
    first: third * d_model,
  };
}

const transposed = (tensor: string): TensorPart => ({ tensor, transposed: true });

export const gpt2: Family = {
  model_types: ["gpt2"],
  describe(config, model_type) {
    const c = parse(schema, config);
    refuse(model_type, c.scale_attn_by_inverse_layer_idx, "scale_attn_by_inverse_layer_idx is not built.");
    refuse(model_type, c.add_cross_attention, "it attends to another model's states (add_cross_attention).");
    const heads = headsOf(c.n_embd, c.n_head, c.n_head, null);
    return {
      model_type,
      d_model: c.n_embd,
      n_layers: c.n_layer,
      ...heads,
      d_mlp: c.n_inner ?? 4 * c.n_embd,
      d_vocab: c.vocab_size,
      n_ctx: c.n_positions,
      norm: { kind: "layer", eps: c.layer_norm_epsilon, offset: 0 },
      parallel: false,
      shared_norm: false,
      post_norms: false,
      learned_positions: true,
      layers: Array.from({ length: c.n_layer }, () => ({ window: null, rotary: null })),
      attention_scale: c.scale_attn_weights ? heads.d_head ** -0.5 : 1,
      attention_softcap: null,
      logit_softcap: null,
      qk_norm: null,
      biases: { qkv: true, attn_out: true, mlp: true, head: false },
      mlp: { gated: false, activation: activationOf(model_type, c.activation_function) },
      embedding_scale: 1,
      tied_head: c.tie_word_embeddings,
    };
  },
  weights: (spec) => ({
    prefixes: ["transformer.", ""],
    layer: (index) => `h.${index}.`,
    model: {
      W_E: "wte.weight",
      W_pos: "wpe.weight",
      ln_final_w: "ln_f.weight",
      ln_final_b: "ln_f.bias",
      W_U: "lm_head.weight",
    },
    block: {
      ln1_w: "ln_1.weight",
      ln1_b: "ln_1.bias",
      W_Q: attention(spec, 0, "weight"),
      b_Q: attention(spec, 0, "bias"),
      W_K: attention(spec, 1, "weight"),
      b_K: attention(spec, 1, "bias"),
      W_V: attention(spec, 2, "weight"),
      b_V: attention(spec, 2, "bias"),
      W_O: transposed("attn.c_proj.weight"),
      b_O: "attn.c_proj.bias",
      ln2_w: "ln_2.weight",
      ln2_b: "ln_2.bias",
      W_in: transposed("mlp.c_fc.weight"),
      b_in: "mlp.c_fc.bias",
      W_out: transposed("mlp.c_proj.weight"),
      b_out: "mlp.c_proj.bias",
    },
  }),
};
