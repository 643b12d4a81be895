import { activation, type Linear } from "./arithmetic.ts";
import {
  Checkpoint,
  flagOf,
  type HuggingFaceModel,
  numberOf,
  optionalNumber,
  selectOutputs,
  textOf,
} from "./hugging-face.ts";
import { rotaryFrequencies } from "./rotary.ts";
import type { Layer, Transformer } from "./transformer.ts";

/** Families with LayerNorm, biases and an MLP without a gate: GPT-2, GPT-NeoX (Pythia), Phi-2. */

const plain = { qNorm: null, kNorm: null, ln1Post: null, ln2Post: null } as const;

/** transformers, models/gpt2: Conv1D projections, learned positions, tied unembedding. */
export function readGpt2({ config, tensors }: HuggingFaceModel): Transformer {
  const checkpoint = new Checkpoint(tensors, "transformer.");
  const d_model = numberOf(config, "n_embd");
  const n_heads = numberOf(config, "n_head");
  const d_vocab = numberOf(config, "vocab_size");
  const d_mlp = optionalNumber(config, "n_inner") ?? 4 * d_model;
  const epsilon = numberOf(config, "layer_norm_epsilon", 1e-5);
  const d_head = d_model / n_heads;
  const scaled = flagOf(config, "scale_attn_weights", true);
  const byLayer = flagOf(config, "scale_attn_by_inverse_layer_idx", false);

  const layers = Array.from({ length: numberOf(config, "n_layer") }, (_, i): Layer => {
    const fused = checkpoint.conv1d(`h.${i}.attn.c_attn`, d_model, 3 * d_model);
    const part = (number: number) => selectOutputs(fused, d_model, (o) => number * d_model + o);
    return {
      ...plain,
      attention: {
        scale: (scaled ? d_head ** -0.5 : 1) / (byLayer ? i + 1 : 1),
        softCap: null,
        window: null,
      },
      q: part(0),
      k: part(1),
      v: part(2),
      o: checkpoint.conv1d(`h.${i}.attn.c_proj`, d_model, d_model),
      frequencies: null,
      ln1: checkpoint.layerNorm(`h.${i}.ln_1`, d_model, epsilon),
      ln2: checkpoint.layerNorm(`h.${i}.ln_2`, d_model, epsilon),
      parallel: false,
      mlp: {
        gate: null,
        in: checkpoint.conv1d(`h.${i}.mlp.c_fc`, d_model, d_mlp),
        out: checkpoint.conv1d(`h.${i}.mlp.c_proj`, d_mlp, d_model),
        activation: activation(textOf(config, "activation_function", "gelu_new")),
      },
    };
  });
  const embedding = checkpoint.values("wte.weight", d_vocab, d_model);
  return {
    d_model,
    n_heads,
    n_kv_heads: n_heads,
    d_head,
    d_vocab,
    embedding,
    positions: checkpoint.values("wpe.weight", numberOf(config, "n_positions"), d_model),
    layers,
    finalNorm: checkpoint.layerNorm("ln_f", d_model, epsilon),
    unembed: flagOf(config, "tie_word_embeddings", true)
      ? { weight: embedding, bias: null, inputs: d_model, outputs: d_vocab }
      : checkpoint.linear("lm_head", d_model, d_vocab, false),
    finalSoftCap: null,
  };
}

/** transformers, models/gpt_neox: queries, keys and values interleaved per head, [n_heads, 3, d_head]. */
export function readGptNeoX({ config, tensors }: HuggingFaceModel): Transformer {
  const checkpoint = new Checkpoint(tensors, "gpt_neox.");
  const d_model = numberOf(config, "hidden_size");
  const n_heads = numberOf(config, "num_attention_heads");
  const d_vocab = numberOf(config, "vocab_size");
  const d_mlp = numberOf(config, "intermediate_size");
  const epsilon = numberOf(config, "layer_norm_eps", 1e-5);
  const biased = flagOf(config, "attention_bias", true);
  const d_head = d_model / n_heads;
  const frequencies = rotaryFrequencies(config, {
    d_head,
    theta: 10_000,
    partial: 0.25,
    thetaKey: "rotary_emb_base",
    partialKey: "rotary_pct",
    scalingKey: "rope_scaling",
  });

  const layers = Array.from({ length: numberOf(config, "num_hidden_layers") }, (_, i): Layer => {
    const at = `layers.${i}`;
    const fused = checkpoint.linear(`${at}.attention.query_key_value`, d_model, 3 * d_model, biased);
    const part = (number: number): Linear =>
      selectOutputs(fused, d_model, (o) => (Math.floor(o / d_head) * 3 + number) * d_head + (o % d_head));
    return {
      ...plain,
      attention: { scale: d_head ** -0.5, softCap: null, window: null },
      q: part(0),
      k: part(1),
      v: part(2),
      o: checkpoint.linear(`${at}.attention.dense`, d_model, d_model, biased),
      frequencies,
      ln1: checkpoint.layerNorm(`${at}.input_layernorm`, d_model, epsilon),
      ln2: checkpoint.layerNorm(`${at}.post_attention_layernorm`, d_model, epsilon),
      parallel: flagOf(config, "use_parallel_residual", true),
      mlp: {
        gate: null,
        in: checkpoint.linear(`${at}.mlp.dense_h_to_4h`, d_model, d_mlp, true),
        out: checkpoint.linear(`${at}.mlp.dense_4h_to_h`, d_mlp, d_model, true),
        activation: activation(textOf(config, "hidden_act", "gelu")),
      },
    };
  });
  const embedding = checkpoint.values("embed_in.weight", d_vocab, d_model);
  return {
    d_model,
    n_heads,
    n_kv_heads: n_heads,
    d_head,
    d_vocab,
    embedding,
    positions: null,
    layers,
    finalNorm: checkpoint.layerNorm("final_layer_norm", d_model, epsilon),
    unembed: flagOf(config, "tie_word_embeddings", false)
      ? { weight: embedding, bias: null, inputs: d_model, outputs: d_vocab }
      : checkpoint.linear("embed_out", d_model, d_vocab, false),
    finalSoftCap: null,
  };
}

/** transformers, models/phi: attention and MLP read the same norm; TransformerLens has it as ln1 and as ln2. */
export function readPhi({ config, tensors }: HuggingFaceModel): Transformer {
  if (flagOf(config, "qk_layernorm", false)) throw new Error("The reference has no qk_layernorm.");
  const checkpoint = new Checkpoint(tensors, "model.");
  const d_model = numberOf(config, "hidden_size");
  const n_heads = numberOf(config, "num_attention_heads");
  const n_kv_heads = numberOf(config, "num_key_value_heads", n_heads);
  const d_vocab = numberOf(config, "vocab_size");
  const d_mlp = numberOf(config, "intermediate_size");
  const epsilon = numberOf(config, "layer_norm_eps", 1e-5);
  const d_head = d_model / n_heads;
  const frequencies = rotaryFrequencies(config, {
    d_head,
    theta: 10_000,
    partial: 0.5,
    thetaKey: "rope_theta",
    partialKey: "partial_rotary_factor",
    scalingKey: "rope_scaling",
  });

  const layers = Array.from({ length: numberOf(config, "num_hidden_layers") }, (_, i): Layer => {
    const at = `layers.${i}`;
    const shared = checkpoint.layerNorm(`${at}.input_layernorm`, d_model, epsilon);
    return {
      ...plain,
      attention: { scale: d_head ** -0.5, softCap: null, window: null },
      q: checkpoint.linear(`${at}.self_attn.q_proj`, d_model, n_heads * d_head, true),
      k: checkpoint.linear(`${at}.self_attn.k_proj`, d_model, n_kv_heads * d_head, true),
      v: checkpoint.linear(`${at}.self_attn.v_proj`, d_model, n_kv_heads * d_head, true),
      o: checkpoint.linear(`${at}.self_attn.dense`, n_heads * d_head, d_model, true),
      frequencies,
      ln1: shared,
      ln2: shared,
      parallel: true,
      mlp: {
        gate: null,
        in: checkpoint.linear(`${at}.mlp.fc1`, d_model, d_mlp, true),
        out: checkpoint.linear(`${at}.mlp.fc2`, d_mlp, d_model, true),
        activation: activation(textOf(config, "hidden_act", "gelu_new")),
      },
    };
  });
  const embedding = checkpoint.values("embed_tokens.weight", d_vocab, d_model);
  const tied = flagOf(config, "tie_word_embeddings", false);
  return {
    d_model,
    n_heads,
    n_kv_heads,
    d_head,
    d_vocab,
    embedding,
    positions: null,
    layers,
    finalNorm: checkpoint.layerNorm("final_layernorm", d_model, epsilon),
    unembed: {
      weight: tied ? embedding : checkpoint.values("lm_head.weight", d_vocab, d_model),
      bias: checkpoint.values("lm_head.bias", d_vocab),
      inputs: d_model,
      outputs: d_vocab,
    },
    finalSoftCap: null,
  };
}
