import { type Config, numberOf, sectionOf, textOf } from "./hugging-face.ts";

/**
 * Rotary positions (Su et al. 2021) in Hugging Face's "rotate half" form: of the first 2F components of a head,
 * component i turns together with component i + F, by frequency_i times the position. The rest passes.
 */

export interface RotaryDefaults {
  d_head: number;
  theta: number;
  /** Share of a head's components that turn. */
  partial: number;
  /** Keys of older configurations for the base and the share; null: the family has none. */
  thetaKey: string;
  partialKey: string | null;
  /** Key of the scaling in older configurations; null: these layers are not scaled. */
  scalingKey: string | null;
  /** Which of `rope_parameters`, where there is one for every kind of layer. */
  layerType?: string;
}

/**
 * Radians per position, [F]. Newer configurations have everything in `rope_parameters`, one or one for each type of
 * layer (transformers 5); older ones have the base beside `rope_scaling`.
 */
export function rotaryFrequencies(config: Config, defaults: RotaryDefaults): Float64Array {
  const { d_head, thetaKey, partialKey, scalingKey, layerType } = defaults;
  const all = sectionOf(config, "rope_parameters");
  const parameters = (all && layerType && sectionOf(all, layerType)) || all;
  const oldPartial = partialKey === null ? defaults.partial : numberOf(config, partialKey, defaults.partial);
  const theta = parameters
    ? numberOf(parameters, "rope_theta", defaults.theta)
    : numberOf(config, thetaKey, defaults.theta);
  const partial = parameters ? numberOf(parameters, "partial_rotary_factor", oldPartial) : oldPartial;
  const rotated = Math.floor(d_head * partial);
  if (rotated % 2 !== 0) throw new Error(`${rotated} components of a head cannot turn in pairs.`);
  const frequencies = Float64Array.from({ length: rotated / 2 }, (_, i) => theta ** ((-2 * i) / rotated));
  const scaling = parameters ?? (scalingKey === null ? null : sectionOf(config, scalingKey));
  return scaling === null ? frequencies : frequencies.map((frequency) => scaled(frequency, scaling));
}

/** A frequency after scaling (transformers, modeling_rope_utils.py). */
function scaled(frequency: number, scaling: Config): number {
  const type = textOf(scaling, "rope_type", textOf(scaling, "type", "default"));
  if (type === "default") return frequency;
  if (type === "linear") return frequency / numberOf(scaling, "factor");
  if (type !== "llama3") throw new Error(`The reference does not know the rotary scaling ${type}.`);
  // Llama 3.1: short waves stay, waves too long for the old context are stretched, between them it is interpolated.
  const factor = numberOf(scaling, "factor");
  const low = numberOf(scaling, "low_freq_factor");
  const high = numberOf(scaling, "high_freq_factor");
  const turns = (numberOf(scaling, "original_max_position_embeddings") * frequency) / (2 * Math.PI);
  if (turns > high) return frequency;
  if (turns < low) return frequency / factor;
  const smooth = (turns - low) / (high - low);
  return (1 - smooth) * (frequency / factor) + smooth * frequency;
}

/** Turns every head of every row, [length, heads * d_head]. @param first position of the first row. */
export function rotate(
  x: Float64Array,
  frequencies: Float64Array,
  heads: number,
  d_head: number,
  first = 0,
): Float64Array {
  const half = frequencies.length;
  const y = x.slice();
  for (let at = 0; at < x.length; at += d_head) {
    const position = first + Math.floor(at / (heads * d_head));
    for (let i = 0; i < half; i++) {
      const [cos, sin] = [Math.cos(position * frequencies[i]!), Math.sin(position * frequencies[i]!)];
      y[at + i] = x[at + i]! * cos - x[at + i + half]! * sin;
      y[at + i + half] = x[at + i + half]! * cos + x[at + i]! * sin;
    }
  }
  return y;
}
