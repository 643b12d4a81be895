import type { RotaryScaling, RotarySpec } from "./model-spec.ts";

/**
 * Radians a position of each rotated pair: theta^(−2i / dims), scaled (Hugging Face's modeling_rope_utils).
 * f64 [dims / 2].
 */
export function rotaryFrequencies({ dims, theta, scaling }: RotarySpec): Float64Array {
  return Float64Array.from({ length: dims / 2 }, (_, i) => scale(theta ** ((-2 * i) / dims), scaling));
}

function scale(frequency: number, scaling: RotaryScaling | null): number {
  if (scaling === null) return frequency;
  if (scaling.type === "linear") return frequency / scaling.factor;
  // Turns within the original context: many stay as they are, few are slowed down, between them it is blended.
  const turns = (scaling.original_context * frequency) / (2 * Math.PI);
  const { low_freq_factor: low, high_freq_factor: high, factor } = scaling;
  const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
  return (kept + (1 - kept) / factor) * frequency;
}

/** (cos, sin) of every position's and pair's angle: f32 [length, dims / 2, 2], computed in f64. */
export function rotaryTable(rotary: RotarySpec, length: number): Float32Array<ArrayBuffer> {
  const frequencies = rotaryFrequencies(rotary);
  const table = new Float32Array(2 * length * frequencies.length);
  let at = 0;
  for (let position = 0; position < length; position++) {
    for (const frequency of frequencies) {
      table[at++] = Math.cos(position * frequency);
      table[at++] = Math.sin(position * frequency);
    }
  }
  return table;
}
