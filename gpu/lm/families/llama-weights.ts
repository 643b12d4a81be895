import type { BlockWeight, ModelWeight } from "../canonical-weights.ts";
import type { FamilyWeights, TensorPart } from "./family.ts";

/** The names that Llama gave its tensors, which most families since have kept, with what a family has otherwise. */
export function llamaWeights(
  block: Partial<Record<BlockWeight, string | TensorPart>> = {},
  model: Partial<Record<ModelWeight, string | TensorPart>> = {},
): FamilyWeights {
  return {
    prefixes: ["model.", ""],
    layer: (index) => `layers.${index}.`,
    model: {
      W_E: "embed_tokens.weight",
      ln_final_w: "norm.weight",
      W_U: "lm_head.weight",
      ...model,
    },
    block: {
      ln1_w: "input_layernorm.weight",
      W_Q: "self_attn.q_proj.weight",
      b_Q: "self_attn.q_proj.bias",
      W_K: "self_attn.k_proj.weight",
      b_K: "self_attn.k_proj.bias",
      W_V: "self_attn.v_proj.weight",
      b_V: "self_attn.v_proj.bias",
      q_norm_w: "self_attn.q_norm.weight",
      k_norm_w: "self_attn.k_norm.weight",
      W_O: "self_attn.o_proj.weight",
      b_O: "self_attn.o_proj.bias",
      ln2_w: "post_attention_layernorm.weight",
      W_gate: "mlp.gate_proj.weight",
      b_gate: "mlp.gate_proj.bias",
      W_in: "mlp.up_proj.weight",
      b_in: "mlp.up_proj.bias",
      W_out: "mlp.down_proj.weight",
      b_out: "mlp.down_proj.bias",
      ...block,
    },
  };
}

/** Gemma's four norms a block: two before and two after. */
export const gemmaNorms: Partial<Record<BlockWeight, string>> = {
  post_attn_w: "post_attention_layernorm.weight",
  ln2_w: "pre_feedforward_layernorm.weight",
  post_mlp_w: "post_feedforward_layernorm.weight",
};
