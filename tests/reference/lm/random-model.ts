import { RandomStream } from "../../../gpu/sae/random.ts";
import {
  type Config,
  flagOf,
  type HuggingFaceModel,
  numberOf,
  optionalNumber,
  type Tensor,
  textOf,
} from "./hugging-face.ts";

/**
 * Random models in Hugging Face's layout. Weights have the scale 1 / √inputs, so that activations stay of order 1; norms
 * are around 1 (stored around 0 by Gemma) and biases around 0, neither close enough to be forgotten unseen.
 */

class Tensors {
  readonly made = new Map<string, Tensor>();
  readonly #random: RandomStream;

  constructor(seed: number) {
    this.#random = new RandomStream(seed);
  }

  /** Normal numbers of the given spread around `mean`. */
  add(name: string, shape: readonly number[], spread: number, mean = 0): void {
    const length = shape.reduce((product, extent) => product * extent, 1);
    const data = Float32Array.from({ length }, () => mean + spread * this.#random.normal());
    this.made.set(name, { shape, data });
  }

  /** A torch Linear, [outputs, inputs]. */
  linear(name: string, inputs: number, outputs: number, bias: boolean): void {
    this.add(`${name}.weight`, [outputs, inputs], inputs ** -0.5);
    if (bias) this.add(`${name}.bias`, [outputs], 0.3);
  }

  /** GPT-2's Conv1D, [inputs, outputs]. */
  conv1d(name: string, inputs: number, outputs: number): void {
    this.add(`${name}.weight`, [inputs, outputs], inputs ** -0.5);
    this.add(`${name}.bias`, [outputs], 0.3);
  }

  layerNorm(name: string, width: number): void {
    this.add(`${name}.weight`, [width], 0.2, 1);
    this.add(`${name}.bias`, [width], 0.2);
  }

  /** @param mean what is stored for a factor of 1. */
  rmsNorm(name: string, width: number, mean = 1): void {
    this.add(`${name}.weight`, [width], 0.2, mean);
  }
}

/** Tensors for a configuration. @param bare leave out "transformer.", as openai-community/gpt2 does, and add its masks. */
export function randomModel(config: Config, seed: number, bare = false): HuggingFaceModel {
  const tensors = new Tensors(seed);
  const family = textOf(config, "model_type");
  if (family === "gpt2") addGpt2(tensors, config, bare ? "" : "transformer.");
  else if (family === "gpt_neox") addGptNeoX(tensors, config);
  else if (family === "phi") addPhi(tensors, config);
  else addRmsNormFamily(tensors, config, family);
  return { config, tensors: tensors.made };
}

function addGpt2(tensors: Tensors, config: Config, prefix: string): void {
  const d_model = numberOf(config, "n_embd");
  const d_mlp = optionalNumber(config, "n_inner") ?? 4 * d_model;
  const n_positions = numberOf(config, "n_positions");
  const d_vocab = numberOf(config, "vocab_size");
  tensors.add(`${prefix}wte.weight`, [d_vocab, d_model], 0.5);
  tensors.add(`${prefix}wpe.weight`, [n_positions, d_model], 0.5);
  for (let i = 0; i < numberOf(config, "n_layer"); i++) {
    const at = `${prefix}h.${i}`;
    tensors.layerNorm(`${at}.ln_1`, d_model);
    if (prefix === "") tensors.add(`${at}.attn.bias`, [1, 1, n_positions, n_positions], 1);
    tensors.conv1d(`${at}.attn.c_attn`, d_model, 3 * d_model);
    tensors.conv1d(`${at}.attn.c_proj`, d_model, d_model);
    tensors.layerNorm(`${at}.ln_2`, d_model);
    tensors.conv1d(`${at}.mlp.c_fc`, d_model, d_mlp);
    tensors.conv1d(`${at}.mlp.c_proj`, d_mlp, d_model);
  }
  tensors.layerNorm(`${prefix}ln_f`, d_model);
  if (!flagOf(config, "tie_word_embeddings", true)) tensors.linear("lm_head", d_model, d_vocab, false);
}

function addGptNeoX(tensors: Tensors, config: Config): void {
  const d_model = numberOf(config, "hidden_size");
  const d_mlp = numberOf(config, "intermediate_size");
  const d_vocab = numberOf(config, "vocab_size");
  tensors.add("gpt_neox.embed_in.weight", [d_vocab, d_model], 0.5);
  for (let i = 0; i < numberOf(config, "num_hidden_layers"); i++) {
    const at = `gpt_neox.layers.${i}`;
    tensors.layerNorm(`${at}.input_layernorm`, d_model);
    tensors.layerNorm(`${at}.post_attention_layernorm`, d_model);
    tensors.linear(`${at}.attention.query_key_value`, d_model, 3 * d_model, true);
    tensors.linear(`${at}.attention.dense`, d_model, d_model, true);
    tensors.linear(`${at}.mlp.dense_h_to_4h`, d_model, d_mlp, true);
    tensors.linear(`${at}.mlp.dense_4h_to_h`, d_mlp, d_model, true);
  }
  tensors.layerNorm("gpt_neox.final_layer_norm", d_model);
  if (!flagOf(config, "tie_word_embeddings", false)) tensors.linear("embed_out", d_model, d_vocab, false);
}

function addPhi(tensors: Tensors, config: Config): void {
  const d_model = numberOf(config, "hidden_size");
  const d_mlp = numberOf(config, "intermediate_size");
  const d_vocab = numberOf(config, "vocab_size");
  const n_heads = numberOf(config, "num_attention_heads");
  const d_kv = (numberOf(config, "num_key_value_heads", n_heads) * d_model) / n_heads;
  tensors.add("model.embed_tokens.weight", [d_vocab, d_model], 0.5);
  for (let i = 0; i < numberOf(config, "num_hidden_layers"); i++) {
    const at = `model.layers.${i}`;
    tensors.layerNorm(`${at}.input_layernorm`, d_model);
    tensors.linear(`${at}.self_attn.q_proj`, d_model, d_model, true);
    tensors.linear(`${at}.self_attn.k_proj`, d_model, d_kv, true);
    tensors.linear(`${at}.self_attn.v_proj`, d_model, d_kv, true);
    tensors.linear(`${at}.self_attn.dense`, d_model, d_model, true);
    tensors.linear(`${at}.mlp.fc1`, d_model, d_mlp, true);
    tensors.linear(`${at}.mlp.fc2`, d_mlp, d_model, true);
  }
  tensors.layerNorm("model.final_layernorm", d_model);
  tensors.linear("lm_head", d_model, d_vocab, true);
}

function addRmsNormFamily(tensors: Tensors, config: Config, family: string): void {
  const d_model = numberOf(config, "hidden_size");
  const d_mlp = numberOf(config, "intermediate_size");
  const d_vocab = numberOf(config, "vocab_size");
  const n_heads = numberOf(config, "num_attention_heads");
  const d_head = numberOf(config, "head_dim", d_model / n_heads);
  const d_q = n_heads * d_head;
  const d_kv = numberOf(config, "num_key_value_heads", n_heads) * d_head;
  const gemma = family.startsWith("gemma");
  const attentionBias = flagOf(config, "attention_bias", false);
  const qkvBias = attentionBias || family === "qwen2";
  const mlpBias = flagOf(config, "mlp_bias", false);
  const one = gemma ? 0 : 1;

  tensors.add("model.embed_tokens.weight", [d_vocab, d_model], gemma ? d_model ** -0.5 : 0.5);
  for (let i = 0; i < numberOf(config, "num_hidden_layers"); i++) {
    const at = `model.layers.${i}`;
    tensors.rmsNorm(`${at}.input_layernorm`, d_model, one);
    if (family === "phi3") {
      tensors.linear(`${at}.self_attn.qkv_proj`, d_model, d_q + 2 * d_kv, false);
      tensors.linear(`${at}.mlp.gate_up_proj`, d_model, 2 * d_mlp, false);
    } else {
      tensors.linear(`${at}.self_attn.q_proj`, d_model, d_q, qkvBias);
      tensors.linear(`${at}.self_attn.k_proj`, d_model, d_kv, qkvBias);
      tensors.linear(`${at}.self_attn.v_proj`, d_model, d_kv, qkvBias);
      tensors.linear(`${at}.mlp.gate_proj`, d_model, d_mlp, mlpBias);
      tensors.linear(`${at}.mlp.up_proj`, d_model, d_mlp, mlpBias);
    }
    if (family === "qwen3" || family === "gemma3_text") {
      tensors.rmsNorm(`${at}.self_attn.q_norm`, d_head, one);
      tensors.rmsNorm(`${at}.self_attn.k_norm`, d_head, one);
    }
    tensors.linear(`${at}.self_attn.o_proj`, d_q, d_model, attentionBias);
    tensors.linear(`${at}.mlp.down_proj`, d_mlp, d_model, mlpBias);
    tensors.rmsNorm(`${at}.post_attention_layernorm`, d_model, one);
    if (gemma) {
      tensors.rmsNorm(`${at}.pre_feedforward_layernorm`, d_model, one);
      tensors.rmsNorm(`${at}.post_feedforward_layernorm`, d_model, one);
    }
  }
  tensors.rmsNorm("model.norm", d_model, one);
  if (!flagOf(config, "tie_word_embeddings", gemma)) tensors.linear("lm_head", d_model, d_vocab, false);
}

/** Token ids of one sequence, below the model's vocabulary size. */
export function randomTokens(config: Config, length: number, seed: number): number[] {
  const random = new RandomStream(seed);
  const d_vocab = numberOf(config, "vocab_size");
  return Array.from({ length }, () => Math.floor(random.uniform() * d_vocab));
}
