import { z } from "zod";
import {
  type Activation,
  ModelConfigError,
  quoted,
  type RotaryScaling,
  type RotarySpec,
  UnsupportedModelError,
} from "../model-spec.ts";

/*
 * Pieces of the families' config schemas. A config.json is taken for hostile: every number is bounded, so that no size
 * made of them overflows. Defaults are those of Hugging Face's configuration classes, which files may leave out.
 */

const count = (max: number) => z.number().int().min(1).max(max);

export const sizes = {
  width: count(2 ** 16),
  layers: count(1024),
  heads: count(1024),
  /** Attention keeps a head in registers (shaders/lm_attention.wgsl). */
  d_head: count(1024),
  d_mlp: count(2 ** 20),
  vocab: count(2 ** 22),
  context: count(2 ** 24),
  window: count(2 ** 24),
};

export const eps = z.number().min(0).max(1);
export const theta = z.number().min(1).max(1e12);
export const softcap = z.number().min(1e-3).max(1e6).nullable();
const share = z.number().gt(0).max(1);
const factor = z.number().min(1e-3).max(1e6);

/** Fields in which rotary positions are told: until 2025 one by one, then all in `rope_parameters`. */
export const rotaryFields = {
  rope_theta: theta.nullish(),
  partial_rotary_factor: share.nullish(),
  rope_scaling: z.unknown().optional(),
  rope_parameters: z.unknown().optional(),
};

const ropeRecord = z.object({
  rope_type: z.string().nullish(),
  type: z.string().nullish(),
  rope_theta: theta.nullish(),
  partial_rotary_factor: share.nullish(),
});
const linearRope = z.object({ factor });
const llama3Rope = z.object({
  factor,
  low_freq_factor: factor,
  high_freq_factor: factor,
  original_max_position_embeddings: sizes.context,
});

/** A config by its schema. @throws ModelConfigError with the first field that is wrong. */
export function parse<T extends z.ZodType>(schema: T, config: unknown, within = "config.json"): z.output<T> {
  const result = schema.safeParse(config);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = issue === undefined || issue.path.length === 0 ? "" : ` ${quoted(issue.path.join("."))}`;
  throw new ModelConfigError(`${within}:${path} is wrong: ${issue?.message ?? "it is not an object"}.`);
}

export interface RotaryDefaults {
  theta: number;
  share: number;
}

interface RotarySource {
  rope_theta?: number | null | undefined;
  partial_rotary_factor?: number | null | undefined;
  rope_scaling?: unknown;
  rope_parameters?: unknown;
}

/**
 * What rotates a layer's heads, of either form of config.
 * @throws UnsupportedModelError for scalings that are not linear or llama3's.
 */
export function rotaryOf(
  model_type: string,
  d_head: number,
  source: RotarySource,
  defaults: RotaryDefaults,
): RotarySpec {
  const given = source.rope_parameters ?? source.rope_scaling ?? {};
  const within = source.rope_parameters == null ? "config.json rope_scaling" : "config.json rope_parameters";
  const record = parse(ropeRecord, given, within);
  const part = record.partial_rotary_factor ?? source.partial_rotary_factor ?? defaults.share;
  const dims = Math.floor(d_head * part);
  if (dims < 2 || dims % 2 !== 0) {
    throw new ModelConfigError(
      `config.json: ${dims} of a head's ${d_head} numbers would be rotated; they are rotated in pairs.`,
    );
  }
  return {
    dims,
    theta: record.rope_theta ?? source.rope_theta ?? defaults.theta,
    scaling: scalingOf(model_type, record.rope_type ?? record.type ?? "default", given, within),
  };
}

function scalingOf(model_type: string, type: string, given: unknown, within: string): RotaryScaling | null {
  if (type === "default") return null;
  if (type === "linear") return { type, factor: parse(linearRope, given, within).factor };
  if (type === "llama3") {
    const { original_max_position_embeddings: original_context, ...factors } = parse(
      llama3Rope,
      given,
      within,
    );
    if (factors.high_freq_factor <= factors.low_freq_factor) {
      throw new ModelConfigError(`${within}: high_freq_factor must be more than low_freq_factor.`);
    }
    return { type, original_context, ...factors };
  }
  throw new UnsupportedModelError(
    model_type,
    `its rotary positions are scaled by ${quoted(type)}; only "linear" and "llama3" are known.`,
  );
}

const activations = new Map<string, Activation>([
  ["gelu", "gelu"],
  ["gelu_python", "gelu"],
  ["gelu_new", "gelu_tanh"],
  ["gelu_fast", "gelu_tanh"],
  ["gelu_pytorch_tanh", "gelu_tanh"],
  ["silu", "silu"],
  ["swish", "silu"],
  ["relu", "relu"],
]);

/** The activation by Hugging Face's name. @throws UnsupportedModelError for others. */
export function activationOf(model_type: string, name: string): Activation {
  const activation = activations.get(name);
  if (activation !== undefined) return activation;
  const known = [...activations.keys()].join(", ");
  throw new UnsupportedModelError(
    model_type,
    `its activation ${quoted(name)} is not known; known are ${known}.`,
  );
}

/** Numbers of a head, where the config may leave them out. @throws ModelConfigError where heads do not fit. */
export function headsOf(
  d_model: number,
  n_heads: number,
  n_kv_heads: number,
  d_head: number | null | undefined,
): { n_heads: number; n_kv_heads: number; d_head: number } {
  if (n_heads % n_kv_heads !== 0) {
    throw new ModelConfigError(
      `config.json: ${n_heads} heads cannot share ${n_kv_heads} heads of keys evenly.`,
    );
  }
  if (d_head != null) return { n_heads, n_kv_heads, d_head };
  const size = d_model / n_heads;
  if (!Number.isInteger(size) || size > 1024) {
    throw new ModelConfigError(`config.json: a width of ${d_model} cannot be ${n_heads} heads.`);
  }
  return { n_heads, n_kv_heads, d_head: size };
}

/** Each layer's kind of attention, in newer configs. */
export const layerTypes = z.array(z.string()).max(1024).nullish();

/**
 * For each layer whether it attends within a window only: from `layer_types` where it is given, else by `otherwise`.
 * @throws UnsupportedModelError for other kinds of layer, ModelConfigError where the list has another length.
 */
export function slidingLayers(
  model_type: string,
  n_layers: number,
  types: readonly string[] | null | undefined,
  otherwise: (layer: number) => boolean,
): boolean[] {
  if (types == null) return Array.from({ length: n_layers }, (_, layer) => otherwise(layer));
  if (types.length !== n_layers) {
    throw new ModelConfigError(
      `config.json: layer_types has ${types.length} entries for ${n_layers} layers.`,
    );
  }
  return types.map((type) => {
    if (type === "sliding_attention") return true;
    if (type === "full_attention") return false;
    throw new UnsupportedModelError(
      model_type,
      `it has layers of ${quoted(type)}; only full_attention and sliding_attention are known.`,
    );
  });
}

/** Refuses an option that changes what the model computes in a way that is not built. */
export function refuse(model_type: string, unsupported: boolean, missing: string): void {
  if (unsupported) throw new UnsupportedModelError(model_type, missing);
}
