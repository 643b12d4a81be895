/*
 * IEEE 754 binary16 in float64, and what `precision: "f16"` may cost.
 *
 * Every normal number of f16 has 11 significant bits, the smallest is 2^-14; below it, numbers are multiples of 2^-24.
 * So rounding to nearest gives fl(x) = x (1 + δ) + h with |δ| <= u = 2^-11, |h| <= η = 2^-25, one of them zero; an
 * adapter whose conversion truncates (WGSL allows either neighbour) has u = 2^-10, η = 2^-24. Above 65504 it overflows.
 *
 * A product of n terms, z = Σ w_i x_i, with both operands rounded. Where both are normal,
 *   |fl(w) fl(x) − w x| <= (2u + u²) |w| |x|,
 * and where one is subnormal, its h meets the other, itself off by a factor 1 + u at most; where both are, h² remains:
 *   |fl(w) fl(x) − w x| <= (2u + u²) |w| |x| + (1 + u) η (|w| + |x|) + η²     in every case.
 * A product of two numbers of 11 bits has 22, and lies between 2^-48 and 2^32: f32 holds it exactly, fused or not. What
 * is left is accumulating n rounded terms in f32 in any order, γ_n = n ε / (1 − n ε), ε = 2^-24. With P = Σ |w_i| |x_i|
 *   S = (2u + u²) P + (1 + u) η Σ (|w_i| + |x_i|) + n η²         |z16 − z| <= S + γ_n (P + S)
 * A bias added in f32 is one more term of γ. An operand that is kept in 32 bits leaves u instead of 2u + u², but then
 * products are rounded as well. WGSL also lets an adapter flush subnormals to zero: then η = 2^-14.
 */

/** Unit roundoff of f16, to nearest. */
export const halfRoundoff = 2 ** -11;

/** The f16 nearest to a number, ties to even; infinite from 65520 on. */
export function toHalf(value: number): number {
  const size = Math.abs(value);
  if (size === 0 || !Number.isFinite(value)) return value;
  if (size >= 65_520) return Math.sign(value) * Number.POSITIVE_INFINITY;
  // The distance between neighbours: 2^-10 times the power of two below, at least 2^-24.
  const spacing = Math.max(2 ** -24, powerBelow(size) * 2 ** -10);
  // size / spacing is exact and < 2^11; adding 2^52 leaves no room for a fraction, so it is rounded, ties to even.
  const rounded = (size / spacing + 2 ** 52 - 2 ** 52) * spacing;
  return value < 0 ? -rounded : rounded;
}

/** The largest power of two that is at most `size`, from 2^-24 up. */
function powerBelow(size: number): number {
  let power = 2 ** 15;
  while (power > size && power > 2 ** -24) power /= 2;
  return power;
}

export interface HalfProduct {
  /** Σ |w_i| |x_i|, and Σ (|w_i| + |x_i|). */
  products: number;
  sums: number;
  /** Terms. */
  n: number;
  /** u; twice `halfRoundoff` where the adapter truncates. */
  roundoff?: number;
  /** η; 2^-14 where it flushes subnormals. */
  absolute?: number;
}

/** The bound above on |z16 − z|. */
export function halfProductBound({
  products,
  sums,
  n,
  roundoff: u = halfRoundoff,
  absolute = u * 2 ** -14,
}: HalfProduct): number {
  const rounding = (2 * u + u ** 2) * products + (1 + u) * absolute * sums + n * absolute ** 2;
  const gamma = (n * 2 ** -24) / (1 - n * 2 ** -24);
  return rounding + gamma * (products + rounding);
}
