import { z } from "zod";
import { parse, sizes } from "./config.ts";
import type { Family, TensorPart } from "./family.ts";
import { describeGatedRms, gatedRmsFields } from "./gated-rms.ts";
import { llamaWeights } from "./llama-weights.ts";

const schema = z.object({
  ...gatedRmsFields,
  max_position_embeddings: sizes.context.default(4096),
  sliding_window: sizes.window.nullish(),
  rms_norm_eps: gatedRmsFields.rms_norm_eps.default(1e-5),
});

/** Phi 3 and 4: Llama's block with fused projections. */
export const phi3: Family = {
  model_types: ["phi3"],
  describe(config, model_type) {
    const c = parse(schema, config);
    const spec = describeGatedRms(c, model_type);
    return {
      ...spec,
      biases: { qkv: false, attn_out: false, mlp: false, head: false },
      layers: spec.layers.map((layer) => ({ ...layer, window: c.sliding_window ?? null })),
    };
  },
  weights({ n_heads, n_kv_heads, d_head, d_mlp }) {
    const [queries, keys] = [n_heads * d_head, n_kv_heads * d_head];
    const qkv = (first: number): TensorPart => ({
      tensor: "self_attn.qkv_proj.weight",
      total: queries + 2 * keys,
      first,
    });
    const gateUp = (first: number): TensorPart => ({
      tensor: "mlp.gate_up_proj.weight",
      total: 2 * d_mlp,
      first,
    });
    return llamaWeights({
      W_Q: qkv(0),
      W_K: qkv(queries),
      W_V: qkv(queries + keys),
      W_gate: gateUp(0),
      W_in: gateUp(d_mlp),
    });
  },
};
