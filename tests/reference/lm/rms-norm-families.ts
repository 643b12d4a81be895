import { activation, type Linear } from "./arithmetic.ts";
import {
  Checkpoint,
  type Config,
  flagOf,
  type HuggingFaceModel,
  numberOf,
  optionalNumber,
  selectOutputs,
  textOf,
} from "./hugging-face.ts";
import { rotaryFrequencies } from "./rotary.ts";
import type { Layer, Transformer } from "./transformer.ts";

/** Families with RMSNorm, rotary positions and gated MLPs: Llama and those made after it. */

export interface RmsNormTraits {
  /** Norms store weight - 1, embeddings are scaled by √d_model, attention and MLP have a norm after them too. */
  gemma: boolean;
  /** RMSNorm of every head's queries and keys. */
  headNorms: boolean;
  /** One projection for queries, keys and values, one for gate and up. */
  fused: boolean;
  /** Biases of queries, keys and values; of the output; of the MLP. */
  biases: (config: Config) => { qkv: boolean; out: boolean; mlp: boolean };
  /** Size of a head where the configuration does not say; null: d_model / heads. */
  d_head: number | null;
  /** The configuration's base of the rotary positions, where it is left out. */
  theta: number;
  /** Whether the layer reads from a window, where the configuration has no `layer_types`. */
  slides: (config: Config, layer: number) => boolean;
}

const llama: RmsNormTraits = {
  gemma: false,
  headNorms: false,
  fused: false,
  biases: (config) => {
    const attention = flagOf(config, "attention_bias", false);
    return { qkv: attention, out: attention, mlp: flagOf(config, "mlp_bias", false) };
  },
  d_head: null,
  theta: 10_000,
  slides: () => false,
};
const noBiases = () => ({ qkv: false, out: false, mlp: false });
const qwenSlides = (config: Config, layer: number) =>
  flagOf(config, "use_sliding_window", false) && layer >= numberOf(config, "max_window_layers", 28);
const gemma2: RmsNormTraits = {
  ...llama,
  gemma: true,
  biases: (config) => ({ ...llama.biases(config), mlp: false }),
  d_head: 256,
  slides: (_, layer) => layer % 2 === 0,
};

/** By `model_type`. */
export const rmsNormFamilies: Readonly<Record<string, RmsNormTraits>> = {
  llama,
  mistral: { ...llama, biases: noBiases, slides: () => true },
  qwen2: { ...llama, biases: () => ({ qkv: true, out: false, mlp: false }), slides: qwenSlides },
  qwen3: {
    ...llama,
    headNorms: true,
    biases: (config) => ({ ...llama.biases(config), mlp: false }),
    d_head: 128,
    slides: qwenSlides,
  },
  gemma2,
  gemma3_text: {
    ...gemma2,
    headNorms: true,
    theta: 1_000_000,
    slides: (config, layer) => (layer + 1) % numberOf(config, "sliding_window_pattern", 6) !== 0,
  },
  phi3: { ...llama, fused: true, biases: noBiases, slides: () => true },
};

export function readRmsNormFamily({ config, tensors }: HuggingFaceModel, traits: RmsNormTraits): Transformer {
  const { gemma } = traits;
  const checkpoint = new Checkpoint(tensors, "model.");
  const d_model = numberOf(config, "hidden_size");
  const n_heads = numberOf(config, "num_attention_heads");
  const n_kv_heads = numberOf(config, "num_key_value_heads", n_heads);
  const d_head = numberOf(config, "head_dim", traits.d_head ?? d_model / n_heads);
  const d_vocab = numberOf(config, "vocab_size");
  const d_mlp = numberOf(config, "intermediate_size");
  const epsilon = numberOf(config, "rms_norm_eps");
  const biases = traits.biases(config);
  const rmsNorm = (name: string, width = d_model) => checkpoint.rmsNorm(name, width, epsilon, gemma ? 1 : 0);

  const layers = Array.from({ length: numberOf(config, "num_hidden_layers") }, (_, i): Layer => {
    const at = `layers.${i}`;
    const slides = slidesAt(config, traits, i);
    return {
      attention: {
        scale: (gemma ? numberOf(config, "query_pre_attn_scalar", 256) : d_head) ** -0.5,
        softCap: gemma ? optionalNumber(config, "attn_logit_softcapping") : null,
        window: slides ? optionalNumber(config, "sliding_window") : null,
      },
      ...projections(
        checkpoint,
        at,
        traits,
        { d_model, q: n_heads * d_head, kv: n_kv_heads * d_head },
        biases.qkv,
      ),
      o: checkpoint.linear(`${at}.self_attn.o_proj`, n_heads * d_head, d_model, biases.out),
      qNorm: traits.headNorms ? rmsNorm(`${at}.self_attn.q_norm`, d_head) : null,
      kNorm: traits.headNorms ? rmsNorm(`${at}.self_attn.k_norm`, d_head) : null,
      frequencies: frequencies(config, traits, d_head, slides),
      ln1: rmsNorm(`${at}.input_layernorm`),
      ln2: rmsNorm(`${at}.${gemma ? "pre_feedforward_layernorm" : "post_attention_layernorm"}`),
      ln1Post: gemma ? rmsNorm(`${at}.post_attention_layernorm`) : null,
      ln2Post: gemma ? rmsNorm(`${at}.post_feedforward_layernorm`) : null,
      parallel: false,
      mlp: {
        ...gateAndUp(checkpoint, at, traits, d_model, d_mlp, biases.mlp),
        out: checkpoint.linear(`${at}.mlp.down_proj`, d_mlp, d_model, biases.mlp),
        activation: activation(
          gemma
            ? textOf(config, "hidden_activation", "gelu_pytorch_tanh")
            : textOf(config, "hidden_act", "silu"),
        ),
      },
    };
  });
  const stored = checkpoint.values("embed_tokens.weight", d_vocab, d_model);
  return {
    d_model,
    n_heads,
    n_kv_heads,
    d_head,
    d_vocab,
    embedding: gemma ? stored.map((value) => value * Math.sqrt(d_model)) : stored,
    positions: null,
    layers,
    finalNorm: rmsNorm("norm"),
    // What is tied is the stored matrix, not the scaled one.
    unembed: flagOf(config, "tie_word_embeddings", gemma)
      ? { weight: stored, bias: null, inputs: d_model, outputs: d_vocab }
      : checkpoint.linear("lm_head", d_model, d_vocab, false),
    finalSoftCap: gemma ? optionalNumber(config, "final_logit_softcapping") : null,
  };
}

function slidesAt(config: Config, traits: RmsNormTraits, layer: number): boolean {
  const types = config.layer_types ?? null;
  if (types === null) return traits.slides(config, layer);
  const type: unknown = Array.isArray(types) ? types[layer] : null;
  if (type !== "sliding_attention" && type !== "full_attention") {
    throw new Error(`Layer ${layer} is of the unknown type ${type}.`);
  }
  return type === "sliding_attention";
}

/** Gemma 3's sliding layers have a base of their own, and are not scaled; its global ones are. */
function frequencies(config: Config, traits: RmsNormTraits, d_head: number, slides: boolean): Float64Array {
  const local = traits.gemma && traits.headNorms && slides;
  return rotaryFrequencies(config, {
    d_head,
    theta: local ? 10_000 : traits.theta,
    partial: 1,
    thetaKey: local ? "rope_local_base_freq" : "rope_theta",
    partialKey: "partial_rotary_factor",
    scalingKey: local ? null : "rope_scaling",
    layerType: slides ? "sliding_attention" : "full_attention",
  });
}

function projections(
  checkpoint: Checkpoint,
  at: string,
  { fused }: RmsNormTraits,
  { d_model, q, kv }: { d_model: number; q: number; kv: number },
  bias: boolean,
): { q: Linear; k: Linear; v: Linear } {
  if (!fused) {
    return {
      q: checkpoint.linear(`${at}.self_attn.q_proj`, d_model, q, bias),
      k: checkpoint.linear(`${at}.self_attn.k_proj`, d_model, kv, bias),
      v: checkpoint.linear(`${at}.self_attn.v_proj`, d_model, kv, bias),
    };
  }
  const all = checkpoint.linear(`${at}.self_attn.qkv_proj`, d_model, q + 2 * kv, bias);
  return {
    q: selectOutputs(all, q, (o) => o),
    k: selectOutputs(all, kv, (o) => q + o),
    v: selectOutputs(all, kv, (o) => q + kv + o),
  };
}

function gateAndUp(
  checkpoint: Checkpoint,
  at: string,
  { fused }: RmsNormTraits,
  d_model: number,
  d_mlp: number,
  bias: boolean,
): { gate: Linear; in: Linear } {
  if (!fused) {
    return {
      gate: checkpoint.linear(`${at}.mlp.gate_proj`, d_model, d_mlp, bias),
      in: checkpoint.linear(`${at}.mlp.up_proj`, d_model, d_mlp, bias),
    };
  }
  const both = checkpoint.linear(`${at}.mlp.gate_up_proj`, d_model, 2 * d_mlp, bias);
  return {
    gate: selectOutputs(both, d_mlp, (o) => o),
    in: selectOutputs(both, d_mlp, (o) => d_mlp + o),
  };
}
