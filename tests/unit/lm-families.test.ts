import { describe, expect, test } from "vitest";
import { canonicalWeights } from "../../gpu/lm/canonical-weights.ts";
import { describeModel, familyWeights, supportedModelTypes } from "../../gpu/lm/families/index.ts";
import { hookPoints, requireHookPoint, UnknownHookError } from "../../gpu/lm/hook-points.ts";
import { width } from "../../gpu/lm/layout.ts";
import {
  ModelConfigError,
  type ModelSpec,
  parameterCount,
  UnsupportedModelError,
} from "../../gpu/lm/model-spec.ts";
import { variants } from "../reference/lm/variants.ts";

/* Configurations as published, less what nothing is computed by. */

const gpt2 = {
  model_type: "gpt2",
  activation_function: "gelu_new",
  layer_norm_epsilon: 1e-5,
  n_ctx: 1024,
  n_embd: 768,
  n_head: 12,
  n_layer: 12,
  n_positions: 1024,
  vocab_size: 50257,
};
const pythia = {
  model_type: "gpt_neox",
  hidden_act: "gelu",
  hidden_size: 512,
  intermediate_size: 2048,
  layer_norm_eps: 1e-5,
  max_position_embeddings: 2048,
  num_attention_heads: 8,
  num_hidden_layers: 6,
  rotary_emb_base: 10000,
  rotary_pct: 0.25,
  tie_word_embeddings: false,
  use_parallel_residual: true,
  vocab_size: 50304,
};
const llama32 = {
  model_type: "llama",
  attention_bias: false,
  head_dim: 64,
  hidden_act: "silu",
  hidden_size: 2048,
  intermediate_size: 8192,
  max_position_embeddings: 131072,
  mlp_bias: false,
  num_attention_heads: 32,
  num_hidden_layers: 16,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-5,
  rope_scaling: {
    factor: 32,
    high_freq_factor: 4,
    low_freq_factor: 1,
    original_max_position_embeddings: 8192,
    rope_type: "llama3",
  },
  rope_theta: 500000,
  tie_word_embeddings: true,
  vocab_size: 128256,
};
const mistral = {
  model_type: "mistral",
  hidden_act: "silu",
  hidden_size: 4096,
  intermediate_size: 14336,
  max_position_embeddings: 32768,
  num_attention_heads: 32,
  num_hidden_layers: 32,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  sliding_window: 4096,
  tie_word_embeddings: false,
  vocab_size: 32000,
};
const qwen25 = {
  model_type: "qwen2",
  hidden_act: "silu",
  hidden_size: 896,
  intermediate_size: 4864,
  max_position_embeddings: 32768,
  max_window_layers: 21,
  num_attention_heads: 14,
  num_hidden_layers: 24,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-6,
  rope_theta: 1000000,
  sliding_window: 32768,
  tie_word_embeddings: true,
  use_sliding_window: false,
  vocab_size: 151936,
};
const qwen3 = {
  model_type: "qwen3",
  attention_bias: false,
  head_dim: 128,
  hidden_act: "silu",
  hidden_size: 1024,
  intermediate_size: 3072,
  max_position_embeddings: 40960,
  max_window_layers: 28,
  num_attention_heads: 16,
  num_hidden_layers: 28,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-6,
  rope_scaling: null,
  rope_theta: 1000000,
  sliding_window: null,
  tie_word_embeddings: true,
  use_sliding_window: false,
  vocab_size: 151936,
};
const gemma2 = {
  model_type: "gemma2",
  attn_logit_softcapping: 50,
  final_logit_softcapping: 30,
  head_dim: 256,
  hidden_act: "gelu_pytorch_tanh",
  hidden_activation: "gelu_pytorch_tanh",
  hidden_size: 2304,
  intermediate_size: 9216,
  max_position_embeddings: 8192,
  num_attention_heads: 8,
  num_hidden_layers: 26,
  num_key_value_heads: 4,
  query_pre_attn_scalar: 256,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  sliding_window: 4096,
  vocab_size: 256000,
};
/** As google/gemma-3-4b-it has it, which leaves out what is Gemma 3's default. */
const gemma3 = {
  model_type: "gemma3",
  text_config: {
    hidden_size: 2560,
    intermediate_size: 10240,
    model_type: "gemma3_text",
    num_hidden_layers: 34,
    rope_scaling: { factor: 8, rope_type: "linear" },
    sliding_window: 1024,
  },
  vision_config: { hidden_size: 1152 },
};
const phi2 = {
  model_type: "phi",
  hidden_act: "gelu_new",
  hidden_size: 2560,
  intermediate_size: 10240,
  layer_norm_eps: 1e-5,
  max_position_embeddings: 2048,
  num_attention_heads: 32,
  num_hidden_layers: 32,
  num_key_value_heads: 32,
  partial_rotary_factor: 0.4,
  qk_layernorm: false,
  rope_scaling: null,
  rope_theta: 10000,
  tie_word_embeddings: false,
  vocab_size: 51200,
};
const phi3 = {
  model_type: "phi3",
  hidden_act: "silu",
  hidden_size: 3072,
  intermediate_size: 8192,
  max_position_embeddings: 4096,
  num_attention_heads: 32,
  num_hidden_layers: 32,
  num_key_value_heads: 32,
  original_max_position_embeddings: 4096,
  rms_norm_eps: 1e-5,
  rope_scaling: null,
  rope_theta: 10000,
  sliding_window: 2047,
  tie_word_embeddings: false,
  vocab_size: 32064,
};
const published = { gpt2, pythia, llama32, mistral, qwen25, qwen3, gemma2, gemma3, phi2, phi3 };

function refusal(config: unknown): UnsupportedModelError {
  try {
    describeModel(config);
  } catch (error) {
    expect(error).toBeInstanceOf(UnsupportedModelError);
    return error as UnsupportedModelError;
  }
  throw new Error("The config was taken.");
}

describe("published models", () => {
  // Sums of the tensors in the files; a head that is tied is not among them.
  test.each([
    [gpt2, 124_439_808],
    [pythia, 70_426_624],
    [llama32, 1_235_814_400],
    [mistral, 7_241_732_096],
    [qwen25, 494_032_768],
    [qwen3, 596_049_920],
    [gemma2, 2_614_341_888],
    [gemma3, 3_880_263_168],
    [phi2, 2_779_683_840],
    [phi3, 3_821_079_552],
  ])("$model_type has as many parameters as its files", (config, count) => {
    expect(parameterCount(describeModel(config))).toBe(count);
  });

  test("blocks are what the families made them", () => {
    const spec = describeModel(gemma3);
    expect(spec).toMatchObject({ family: "gemma3", n_heads: 8, n_kv_heads: 4, d_head: 256, tied_head: true });
    expect(spec.layers.map(({ window }) => window)).toEqual(
      Array.from({ length: 34 }, (_, i) => (i % 6 === 5 ? null : 1024)),
    );
    expect(spec.layers[0]!.rotary).toEqual({ dims: 256, theta: 10_000, scaling: null });
    expect(spec.layers[5]!.rotary).toEqual({
      dims: 256,
      theta: 1_000_000,
      scaling: { type: "linear", factor: 8 },
    });
    expect(spec.embedding_scale).toBe(Math.sqrt(2560));
    const second = describeModel(gemma2);
    expect(second.layers.map(({ window }) => window)).toEqual(
      Array.from({ length: 26 }, (_, i) => (i % 2 === 0 ? 4096 : null)),
    );
    expect(second).toMatchObject({ attention_softcap: 50, logit_softcap: 30, attention_scale: 1 / 16 });
    expect(describeModel(phi2)).toMatchObject({ parallel: true, shared_norm: true });
    expect(describeModel(phi2).layers[0]!.rotary!.dims).toBe(32);
    expect(describeModel(pythia).layers[0]!.rotary!.dims).toBe(16);
    expect(describeModel(qwen25).layers.every(({ window }) => window === null)).toBe(true);
    const windowed = describeModel({ ...qwen25, use_sliding_window: true });
    expect(windowed.layers.map(({ window }) => window)).toEqual(
      Array.from({ length: 24 }, (_, i) => (i >= 21 ? 32768 : null)),
    );
    expect(describeModel(mistral).layers[31]!.window).toBe(4096);
    expect(describeModel({ ...mistral, sliding_window: null }).layers[31]!.window).toBeNull();
    expect(describeModel(gpt2)).toMatchObject({
      d_mlp: 3072,
      mlp: { gated: false, activation: "gelu_tanh" },
    });
  });

  test("both forms of rotary fields are the same model", () => {
    const { rope_theta, rope_scaling, ...rest } = llama32;
    const rope_parameters = { ...rope_scaling, rope_theta };
    expect(describeModel({ ...rest, rope_parameters })).toEqual(describeModel(llama32));
    const { rotary_pct, rotary_emb_base, ...neox } = pythia;
    const newer = { rope_type: "default", rope_theta: rotary_emb_base, partial_rotary_factor: rotary_pct };
    expect(describeModel({ ...neox, rope_parameters: newer })).toEqual(describeModel(pythia));
    const { text_config } = gemma3;
    const nested = {
      full_attention: { rope_type: "linear", factor: 8, rope_theta: 1_000_000 },
      sliding_attention: { rope_type: "default", rope_theta: 10_000 },
    };
    expect(
      describeModel({
        ...gemma3,
        text_config: { ...text_config, rope_scaling: null, rope_parameters: nested },
      }),
    ).toEqual(describeModel(gemma3));
  });

  test.each(Object.values(published))("every weight of $model_type has a name in its files", (config) => {
    const spec = describeModel(config);
    const names = familyWeights(spec);
    for (const { name, layer } of canonicalWeights(spec)) {
      const within: Partial<Record<string, unknown>> = layer === null ? names.model : names.block;
      expect(within[name], name).toBeDefined();
    }
  });

  test("the reference's variants have as many parameters as their tensors", () => {
    for (const { name, config, tensors } of variants()) {
      let count = 0;
      for (const [tensor, { data }] of tensors) if (!tensor.endsWith(".attn.bias")) count += data.length;
      expect(parameterCount(describeModel(config)), name).toBe(count);
    }
  });
});

describe("what is not built is refused, and said", () => {
  test.each([
    ["mixtral", { ...mistral, model_type: "mixtral", num_local_experts: 8 }, /mixtures of experts/],
    ["qwen3_moe", { ...qwen3, model_type: "qwen3_moe", num_experts: 128 }, /mixtures of experts/],
    ["bert", { ...gpt2, model_type: "bert" }, /no family of that type. Facet runs gpt2, gpt_neox/],
    ["constructor", { ...gpt2, model_type: "constructor" }, /no family/],
    ["__proto__", JSON.parse('{"model_type":"__proto__"}'), /no family/],
    ["t5", { model_type: "t5", is_encoder_decoder: true }, /encoder-decoder/],
    ["gpt2", { ...gpt2, activation_function: "mish" }, /activation "mish".*known are gelu/],
    ["gpt2", { ...gpt2, scale_attn_by_inverse_layer_idx: true }, /scale_attn_by_inverse_layer_idx/],
    ["gpt2", { ...gpt2, add_cross_attention: true }, /add_cross_attention/],
    ["llama", { ...llama32, rope_scaling: { type: "dynamic", factor: 2 } }, /scaled by "dynamic"/],
    ["llama", { ...llama32, rope_parameters: { rope_type: "yarn", factor: 2 } }, /scaled by "yarn"/],
    ["phi3", { ...phi3, rope_scaling: { type: "longrope", short_factor: [1] } }, /scaled by "longrope"/],
    [
      "gemma3",
      { ...gemma3, text_config: { ...gemma3.text_config, rope_scaling: { rope_type: "su" } } },
      /"su"/,
    ],
    ["llama", { ...llama32, quantization_config: { quant_method: "awq" } }, /quantised/],
    ["phi", { ...phi2, qk_layernorm: true }, /qk_layernorm/],
    ["qwen2", { ...qwen25, layer_types: Array(24).fill("linear_attention") }, /layers of "linear_attention"/],
    ["gemma2", { ...gemma2, use_bidirectional_attention: true }, /not causal/],
  ])("%s %#", (model_type, config, missing) => {
    const error = refusal(config);
    expect(error.model_type).toBe(model_type);
    expect(error.message).toContain(JSON.stringify(model_type));
    expect(error.message).toMatch(missing);
    expect(error.message.length).toBeLessThan(400);
  });

  test("a type of a megabyte is cut short in the message", () => {
    expect(refusal({ model_type: "x".repeat(2 ** 20) }).message.length).toBeLessThan(500);
  });
});

describe("configs that make no sense", () => {
  test.each([
    null,
    undefined,
    7,
    "gpt2",
    [],
    {},
    { model_type: 7 },
    { model_type: "gpt2" },
    { model_type: "gemma3" },
    { ...gpt2, n_embd: 10 },
    { ...gpt2, n_head: 0 },
    { ...llama32, num_key_value_heads: 5 },
    { ...llama32, num_key_value_heads: 64 },
    { ...llama32, head_dim: 2048 },
    { ...llama32, rope_scaling: { rope_type: "llama3", factor: 8 } },
    { ...llama32, rope_scaling: { ...llama32.rope_scaling, high_freq_factor: 1 } },
    { ...llama32, rope_scaling: { rope_type: "linear" } },
    { ...llama32, rope_scaling: "linear" },
    { ...llama32, rope_scaling: [] },
    { ...llama32, head_dim: 63 },
    { ...qwen25, layer_types: ["full_attention"] },
    { ...pythia, rotary_pct: 0 },
    { ...pythia, rotary_pct: 0.01 },
    { ...gemma2, hidden_activation: 1 },
  ])("%#: are a ModelConfigError", (config) => {
    expect(() => describeModel(config)).toThrow(ModelConfigError);
  });

  test.each(Object.values(published).filter(({ model_type }) => model_type !== "gemma3"))(
    "every number of $model_type is bounded",
    (config: Record<string, unknown>) => {
      const unused = new Set(["n_ctx", "vision_config", "original_max_position_embeddings"]);
      for (const [key, value] of Object.entries(config)) {
        if (typeof value !== "number" || unused.has(key)) continue;
        for (const bad of [-1, 1e300, Number.NaN, Number.POSITIVE_INFINITY, "7", [7], {}]) {
          expect(() => describeModel({ ...config, [key]: bad }), `${key}: ${bad}`).toThrow(ModelConfigError);
        }
      }
    },
  );

  test("the largest model that is taken has a whole number of parameters", () => {
    const spec = describeModel({
      ...llama32,
      hidden_size: 2 ** 16,
      num_hidden_layers: 1024,
      num_attention_heads: 1024,
      num_key_value_heads: 1024,
      head_dim: 1024,
      intermediate_size: 2 ** 20,
      vocab_size: 2 ** 22,
    });
    expect(Number.isSafeInteger(parameterCount(spec))).toBe(true);
  });
});

describe("hook points", () => {
  test("have TransformerLens' names and widths, in the order of the pass", () => {
    const points = hookPoints(describeModel(llama32));
    expect(points).toHaveLength(1 + 16 * 10);
    expect(points.slice(0, 11)).toEqual([
      { name: "hook_embed", width: 2048 },
      { name: "blocks.0.hook_resid_pre", width: 2048 },
      { name: "blocks.0.ln1.hook_normalized", width: 2048 },
      { name: "blocks.0.attn.hook_z", width: 2048 },
      { name: "blocks.0.hook_attn_out", width: 2048 },
      { name: "blocks.0.hook_resid_mid", width: 2048 },
      { name: "blocks.0.hook_mlp_in", width: 2048 },
      { name: "blocks.0.ln2.hook_normalized", width: 2048 },
      { name: "blocks.0.mlp.hook_post", width: 8192 },
      { name: "blocks.0.hook_mlp_out", width: 2048 },
      { name: "blocks.0.hook_resid_post", width: 2048 },
    ]);
    expect(requireHookPoint(describeModel(gemma2), "blocks.25.attn.hook_z").width).toBe(2048);
  });

  test("lie between attention and MLP only where one follows the other", () => {
    const names = hookPoints(describeModel(phi2)).map(({ name }) => name);
    expect(names.filter((name) => name.endsWith("hook_resid_mid"))).toEqual([]);
    expect(names).toContain("blocks.0.hook_mlp_in");
  });

  test.each([
    "blocks.3.hook_resid_pst",
    "blocks.16.hook_resid_post",
    "x",
    "",
    "y".repeat(2 ** 20),
    "__proto__",
  ])("%s is refused in words", (name) => {
    const spec: ModelSpec = describeModel(llama32);
    let thrown: unknown;
    try {
      requireHookPoint(spec, name);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(UnknownHookError);
    const error = thrown as UnknownHookError;
    expect(error.hook).toBe(name);
    expect(error.message).toContain(
      "There are hook_embed and blocks.0 to blocks.15, each with hook_resid_pre",
    );
    expect(error.message.length).toBeLessThan(500);
  });
});

test("every type has a config here", () => {
  const types = Object.values(published).map(({ model_type }) => model_type);
  expect(supportedModelTypes.toSorted()).toEqual([...types, "gemma3_text"].toSorted());
  expect(width({ groups: 3, size: 5 })).toBe(15);
});
