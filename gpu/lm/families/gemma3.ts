import { z } from "zod";
import { activationOf, parse, refuse, rotaryOf, sizes, slidingLayers, softcap, theta } from "./config.ts";
import type { Family } from "./family.ts";
import { describeGatedRms, gatedRmsFields } from "./gated-rms.ts";
import { gemmaNorms, llamaWeights } from "./llama-weights.ts";

const schema = z.object({
  ...gatedRmsFields,
  hidden_size: sizes.width.default(2304),
  num_hidden_layers: sizes.layers.default(26),
  num_attention_heads: sizes.heads.default(8),
  num_key_value_heads: sizes.heads.default(4),
  head_dim: sizes.d_head.default(256),
  intermediate_size: sizes.d_mlp.default(9216),
  vocab_size: sizes.vocab.default(262_208),
  max_position_embeddings: sizes.context.default(131_072),
  hidden_activation: z.string().nullish(),
  query_pre_attn_scalar: z.number().min(1e-3).max(1e6).default(256),
  attn_logit_softcapping: softcap.default(null),
  final_logit_softcapping: softcap.default(null),
  sliding_window: sizes.window.nullable().default(4096),
  sliding_window_pattern: sizes.layers.nullish(),
  _sliding_window_pattern: sizes.layers.nullish(),
  rope_local_base_freq: theta.default(10_000),
  use_bidirectional_attention: z.boolean().nullish(),
  tie_word_embeddings: z.boolean().default(true),
});

/** The newest configs tell rotary positions for each kind of layer. */
const perKind = z.object({
  full_attention: z.unknown().optional(),
  sliding_attention: z.unknown().optional(),
});
const textModel = z.object({ text_config: z.looseObject({}) });

/** Gemma 3's text models, and the text part of those that also see. */
export const gemma3: Family = {
  model_types: ["gemma3_text", "gemma3"],
  describe(config, model_type) {
    const text = model_type === "gemma3" ? parse(textModel, config).text_config : config;
    const c = parse(schema, text);
    refuse(model_type, c.use_bidirectional_attention === true, "its attention is not causal.");
    const plain = { ...c, hidden_act: "silu", rope_parameters: undefined, rope_scaling: undefined };
    const spec = describeGatedRms(plain, model_type);
    const pattern = c.sliding_window_pattern ?? c._sliding_window_pattern ?? 6;
    const sliding = slidingLayers(
      model_type,
      spec.n_layers,
      c.layer_types,
      (layer) => (layer + 1) % pattern !== 0,
    );
    const rotary = rotaries(c, model_type, spec.d_head);
    return {
      ...spec,
      norm: { ...spec.norm, offset: 1 },
      qk_norm: { ...spec.norm, offset: 1 },
      post_norms: true,
      layers: sliding.map((local) => ({
        window: local ? c.sliding_window : null,
        rotary: local ? rotary.local : rotary.global,
      })),
      attention_scale: c.query_pre_attn_scalar ** -0.5,
      attention_softcap: c.attn_logit_softcapping,
      logit_softcap: c.final_logit_softcapping,
      biases: { ...spec.biases, mlp: false },
      mlp: {
        gated: true,
        activation: activationOf(model_type, c.hidden_activation ?? "gelu_pytorch_tanh"),
      },
      embedding_scale: Math.sqrt(spec.d_model),
    };
  },
  weights: () => {
    const names = llamaWeights(gemmaNorms);
    return {
      ...names,
      // The text part of a model that also sees, as it was and as it is now written.
      prefixes: [...names.prefixes, "language_model.model.", "model.language_model.", "language_model."],
    };
  },
};

/** Layers with a window have a base of their own and no scaling. */
function rotaries(c: z.output<typeof schema>, model_type: string, d_head: number) {
  const globalDefaults = { theta: 1_000_000, share: 1 };
  const localDefaults = { theta: c.rope_local_base_freq, share: 1 };
  if (c.rope_parameters != null) {
    const kinds = parse(perKind, c.rope_parameters, "config.json rope_parameters");
    const nested = kinds.full_attention !== undefined || kinds.sliding_attention !== undefined;
    const full = nested ? kinds.full_attention : c.rope_parameters;
    return {
      global: rotaryOf(
        model_type,
        d_head,
        { rope_theta: c.rope_theta, rope_parameters: full },
        globalDefaults,
      ),
      local: rotaryOf(model_type, d_head, { rope_parameters: kinds.sliding_attention }, localDefaults),
    };
  }
  return {
    global: rotaryOf(
      model_type,
      d_head,
      { rope_theta: c.rope_theta, rope_scaling: c.rope_scaling },
      globalDefaults,
    ),
    local: rotaryOf(model_type, d_head, {}, localDefaults),
  };
}
