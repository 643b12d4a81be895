import { z } from "zod";
import { activationOf, parse, refuse, sizes, slidingLayers, softcap } from "./config.ts";
import type { Family } from "./family.ts";
import { describeGatedRms, gatedRmsFields, windowed } from "./gated-rms.ts";
import { gemmaNorms, llamaWeights } from "./llama-weights.ts";

const schema = z.object({
  ...gatedRmsFields,
  max_position_embeddings: sizes.context.default(8192),
  num_key_value_heads: sizes.heads.default(4),
  head_dim: sizes.d_head.default(256),
  hidden_activation: z.string().nullish(),
  query_pre_attn_scalar: z.number().min(1e-3).max(1e6).default(256),
  attn_logit_softcapping: softcap.default(50),
  final_logit_softcapping: softcap.default(30),
  sliding_window: sizes.window.nullable().default(4096),
  use_bidirectional_attention: z.boolean().nullish(),
  tie_word_embeddings: z.boolean().default(true),
});

export const gemma2: Family = {
  model_types: ["gemma2"],
  describe(config, model_type) {
    const c = parse(schema, config);
    refuse(model_type, c.use_bidirectional_attention === true, "its attention is not causal.");
    // Gemma takes hidden_activation and never hidden_act, whatever a file says there.
    const spec = describeGatedRms({ ...c, hidden_act: "silu" }, model_type);
    const activation = activationOf(model_type, c.hidden_activation ?? "gelu_pytorch_tanh");
    const sliding = slidingLayers(model_type, spec.n_layers, c.layer_types, (layer) => layer % 2 === 0);
    return {
      ...spec,
      norm: { ...spec.norm, offset: 1 },
      post_norms: true,
      layers: windowed(spec, sliding, c.sliding_window),
      attention_scale: c.query_pre_attn_scalar ** -0.5,
      attention_softcap: c.attn_logit_softcapping,
      logit_softcap: c.final_logit_softcapping,
      biases: { ...spec.biases, mlp: false },
      mlp: { gated: true, activation },
      embedding_scale: Math.sqrt(spec.d_model),
    };
  },
  weights: () => llamaWeights(gemmaNorms),
};
