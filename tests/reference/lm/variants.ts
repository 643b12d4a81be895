import type { Config, HuggingFaceModel } from "./hugging-face.ts";
import { randomModel } from "./random-model.ts";

/** One random model to test. */
export interface Variant extends HuggingFaceModel {
  /** The family, and what is particular. */
  name: string;
}

/** Positions from which every window below leaves something out, and on which no tile of a kernel ends. */
export const variantLength = 19;

const common = { vocab_size: 37, torch_dtype: "float32" };

const gpt2 = {
  ...common,
  architectures: ["GPT2LMHeadModel"],
  model_type: "gpt2",
  activation_function: "gelu_new",
  layer_norm_epsilon: 1e-5,
  n_positions: 24,
  n_ctx: 24,
  n_embd: 18,
  n_layer: 2,
  n_head: 3,
  n_inner: null,
};

const gptNeoX = {
  ...common,
  architectures: ["GPTNeoXForCausalLM"],
  model_type: "gpt_neox",
  hidden_act: "gelu",
  hidden_size: 24,
  intermediate_size: 40,
  layer_norm_eps: 1e-5,
  max_position_embeddings: 32,
  num_attention_heads: 3,
  num_hidden_layers: 2,
  rotary_emb_base: 10_000,
  rotary_pct: 0.25,
  tie_word_embeddings: false,
  use_parallel_residual: true,
};

const llama = {
  ...common,
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  attention_bias: false,
  hidden_act: "silu",
  hidden_size: 18,
  intermediate_size: 29,
  max_position_embeddings: 64,
  mlp_bias: false,
  num_attention_heads: 3,
  num_hidden_layers: 2,
  num_key_value_heads: 1,
  rms_norm_eps: 1e-5,
  rope_scaling: null,
  rope_theta: 500,
  tie_word_embeddings: false,
};

const qwen = {
  ...common,
  hidden_act: "silu",
  hidden_size: 20,
  intermediate_size: 27,
  max_position_embeddings: 64,
  max_window_layers: 2,
  num_hidden_layers: 2,
  rms_norm_eps: 1e-6,
  rope_theta: 1_000_000,
  sliding_window: null,
  use_sliding_window: false,
};

const gemma2 = {
  ...common,
  architectures: ["Gemma2ForCausalLM"],
  model_type: "gemma2",
  attention_bias: false,
  attn_logit_softcapping: 1.5,
  final_logit_softcapping: 2.5,
  head_dim: 10,
  hidden_act: "gelu_pytorch_tanh",
  hidden_activation: "gelu_pytorch_tanh",
  hidden_size: 18,
  intermediate_size: 26,
  max_position_embeddings: 64,
  num_attention_heads: 6,
  num_hidden_layers: 4,
  num_key_value_heads: 2,
  query_pre_attn_scalar: 7,
  rms_norm_eps: 1e-6,
  rope_theta: 10_000,
  sliding_window: 5,
};

const gemma3 = {
  ...common,
  architectures: ["Gemma3ForCausalLM"],
  model_type: "gemma3_text",
  attention_bias: false,
  attn_logit_softcapping: null,
  final_logit_softcapping: null,
  head_dim: 6,
  hidden_activation: "gelu_pytorch_tanh",
  hidden_size: 16,
  intermediate_size: 22,
  max_position_embeddings: 64,
  num_attention_heads: 3,
  num_key_value_heads: 1,
  query_pre_attn_scalar: 9,
  rms_norm_eps: 1e-6,
  sliding_window: 4,
};

const phi = {
  ...common,
  architectures: ["PhiForCausalLM"],
  model_type: "phi",
  hidden_act: "gelu_new",
  hidden_size: 30,
  intermediate_size: 44,
  layer_norm_eps: 1e-5,
  max_position_embeddings: 64,
  num_attention_heads: 3,
  num_hidden_layers: 2,
  num_key_value_heads: null,
  partial_rotary_factor: 0.4,
  qk_layernorm: false,
  rope_scaling: null,
  rope_theta: 10_000,
  tie_word_embeddings: false,
};

const phi3 = {
  ...common,
  architectures: ["Phi3ForCausalLM"],
  model_type: "phi3",
  hidden_act: "silu",
  hidden_size: 24,
  intermediate_size: 31,
  max_position_embeddings: 64,
  num_attention_heads: 3,
  num_hidden_layers: 2,
  num_key_value_heads: 3,
  original_max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_scaling: null,
  rope_theta: 10_000,
  sliding_window: 6,
  tie_word_embeddings: false,
};

const configs: readonly (readonly [name: string, config: Config])[] = [
  ["gpt2", gpt2],
  ["gpt2 bare, exact GELU, n_inner", { ...gpt2, activation_function: "gelu", n_inner: 23 }],
  ["gpt2 untied, unscaled scores", { ...gpt2, scale_attn_weights: false, tie_word_embeddings: false }],
  ["gpt_neox parallel", gptNeoX],
  [
    "gpt_neox sequential, d_head 10",
    { ...gptNeoX, hidden_size: 30, rotary_pct: 0.4, use_parallel_residual: false },
  ],
  ["llama, 3 heads on 1", llama],
  [
    "llama 3.1, tied, biases",
    {
      ...llama,
      attention_bias: true,
      mlp_bias: true,
      tie_word_embeddings: true,
      // Waves of 6 to 2,700 positions: some stay, some are stretched, some lie between.
      head_dim: 14,
      num_attention_heads: 6,
      num_key_value_heads: 2,
      rope_theta: 1000,
      rope_scaling: {
        rope_type: "llama3",
        factor: 8,
        low_freq_factor: 1,
        high_freq_factor: 4,
        original_max_position_embeddings: 64,
      },
    },
  ],
  ["llama, linear scaling", { ...llama, rope_scaling: { type: "linear", factor: 2.5 } }],
  [
    "mistral, window 5",
    {
      ...llama,
      architectures: ["MistralForCausalLM"],
      model_type: "mistral",
      num_attention_heads: 4,
      num_key_value_heads: 2,
      hidden_size: 24,
      sliding_window: 5,
    },
  ],
  [
    "qwen2, tied",
    {
      ...qwen,
      architectures: ["Qwen2ForCausalLM"],
      model_type: "qwen2",
      num_attention_heads: 5,
      num_key_value_heads: 1,
      tie_word_embeddings: true,
    },
  ],
  [
    "qwen3, rope_parameters",
    {
      ...qwen,
      architectures: ["Qwen3ForCausalLM"],
      model_type: "qwen3",
      attention_bias: false,
      head_dim: 12,
      num_attention_heads: 6,
      num_key_value_heads: 2,
      rope_theta: undefined,
      rope_parameters: { rope_type: "default", rope_theta: 300 },
      tie_word_embeddings: false,
    },
  ],
  ["gemma2", gemma2],
  [
    "gemma3_text, pattern of 6",
    {
      ...gemma3,
      num_hidden_layers: 7,
      rope_local_base_freq: 100,
      rope_scaling: { rope_type: "linear", factor: 4 },
      rope_theta: 1000,
      sliding_window_pattern: 6,
    },
  ],
  [
    "gemma3_text, layer_types and rope_parameters",
    {
      ...gemma3,
      num_hidden_layers: 4,
      layer_types: ["full_attention", "sliding_attention", "sliding_attention", "full_attention"],
      rope_parameters: {
        full_attention: { rope_type: "linear", factor: 3, rope_theta: 2000 },
        sliding_attention: { rope_type: "default", rope_theta: 50 },
      },
    },
  ],
  ["phi", phi],
  [
    "phi, rope_parameters",
    {
      ...phi,
      partial_rotary_factor: undefined,
      rope_scaling: undefined,
      rope_theta: undefined,
      rope_parameters: { rope_type: "default", rope_theta: 200, partial_rotary_factor: 0.6 },
    },
  ],
  ["phi3, window 6", phi3],
  [
    "phi3, partial rotary, tied, 4 heads on 2",
    {
      ...phi3,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      hidden_size: 32,
      partial_rotary_factor: 0.75,
      sliding_window: null,
      tie_word_embeddings: true,
    },
  ],
];

/** Every family, in 18 models; the same at every call. */
export function variants(): Variant[] {
  return configs.map(([name, config], i) => {
    // As it comes from a file: what is undefined is not there.
    const stored = JSON.parse(JSON.stringify(config)) as Config;
    return { name, ...randomModel(stored, 100 + i, name.includes("bare")) };
  });
}
