import type { CanonicalWeight } from "./canonical-weights.ts";
import { pitch } from "./layout.ts";
import { type WeightPlan, weightElements } from "./program.ts";

/**
 * How the matrices of linear layers and of the embedding lie on the GPU. Activations and sums are f32 with each.
 * - `f16`: halves, two in a word; |w̃ − w| ≤ 2^-11 |w| + 2^-25, and beyond 65504 nothing is held.
 * - `int8`: w̃ = s · q with one scale s = max |w| / 127 a row (an output, or a token of the vocabulary) and whole
 *   numbers q from −127 to 127; |w̃ − w| ≤ s / 2, plus a rounding of s in f32.
 *
 * An output y = Σ w x moves by at most Σ |w̃ − w| |x|: for f16 by 2^-11 Σ |w| |x|, for int8 by max |w| Σ |x| / 254.
 */
export const precisions = ["f32", "f16", "int8"] as const;
export type Precision = (typeof precisions)[number];

/** Bytes of one number. */
export const numberBytes: Record<Precision, number> = { f32: 4, f16: 2, int8: 1 };

/** How a weight of a model opened in `precision` is stored: vectors and learned positions, which are few, in f32. */
export function storedAs({ name, columns }: CanonicalWeight, precision: Precision): Precision {
  return columns === null || name === "W_pos" ? "f32" : precision;
}

/** Bytes of a padded weight without its scales. */
export function weightBytes(plan: WeightPlan, precision: Precision): number {
  return numberBytes[storedAs(plan.weight, precision)] * weightElements(plan);
}

/** Bytes of a padded weight's scales, f32 a row; 0: it has none. */
export function scaleBytes(plan: WeightPlan, precision: Precision): number {
  return storedAs(plan.weight, precision) === "int8" ? 4 * pitch(plan.rows) : 0;
}

/** Name of the buffer that holds the scales of the weight of that name. */
export function scalesOf(weight: string): string {
  return `${weight} scales`;
}
