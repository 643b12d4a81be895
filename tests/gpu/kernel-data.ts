import { mostLevels } from "../../gpu/kernels/control.ts";
import { RandomStream } from "../../gpu/sae/random.ts";

/*
 * Error bounds. An expression of sums and products, evaluated in f32 in any order, fused or not, in which no input passes
 * through more than n roundings on its way to the result, is off by at most γ_n = n ε / (1 − n ε), ε = 2^-24, times the
 * same expression of absolute values (Higham 2002, sections 3.1 to 3.5). Tests compute that second expression beside the
 * first, as `size`. A function that WGSL promises to r units in the last place counts for 2 r roundings.
 */

export function gamma(n: number): number {
  return (n * 2 ** -24) / (1 - n * 2 ** -24);
}

/** Roundings of a division, which has 2.5 ulp, and of a square root, which is 1 / inverseSqrt with 2 ulp more. */
export const division = 5;
export const squareRoot = 10;

/** Roundings of WGSL's exp at x: 3 + 2 |x| units in the last place. */
export function exponential(x: number): number {
  return 2 * (3 + 2 * Math.abs(x));
}

/**
 * Roundings of pow(x, p), exp2(p · log2 x): log2 is off by 2^-21 near 1 and by 3 ulp elsewhere, which the exponent takes
 * times ln 2 · p; then exp2 has 3 + 2 |p log2 x| ulp of its own.
 */
export function power(x: number, p: number): number {
  const log = Math.log2(x);
  const logError = Math.max(2 ** -21, 6 * 2 ** -24 * Math.abs(log));
  return (Math.LN2 * p * (logError + 2 ** -23 * Math.abs(log))) / 2 ** -24 + 2 * (3 + 2 * Math.abs(p * log));
}

/** Largest |actual − expected| / bound; a bound of zero asks for equality. */
export function worst(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: (i: number) => number,
): number {
  if (actual.length < expected.length) throw new Error(`${actual.length} numbers for ${expected.length}.`);
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    const ratio = difference === 0 ? 0 : difference / bound(i);
    if (Number.isNaN(ratio)) return Number.NaN;
    largest = Math.max(largest, ratio);
  }
  return largest;
}

export function normals(count: number, seed: number): Float32Array<ArrayBuffer> {
  const random = new RandomStream(seed);
  return Float32Array.from({ length: count }, () => random.normal());
}

export function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** Bits of an f16 number: `value` must be one. */
export function halfBits(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const size = Math.abs(value);
  if (size < 2 ** -14) return sign | (size * 2 ** 24);
  return sign | ((((bits >>> 23) & 0xff) - 112) << 10) | ((bits & 0x7f_ffff) >>> 13);
}

/** A plane of activation bits: bit t % 32 of word [t / 32, f]. */
export function bitPlane(
  rows: number,
  d_sae: number,
  active: (t: number, f: number) => boolean,
): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(rows / 32) * d_sae);
  for (let t = 0; t < rows; t++) {
    for (let f = 0; f < d_sae; f++) {
      if (active(t, f)) words[Math.floor(t / 32) * d_sae + f]! += 2 ** (t % 32);
    }
  }
  return words;
}

/** What kernels of a step tell each other (shaders/control.wgsl), by name. */
export interface ControlFields {
  n_dead: number;
  n_active: number;
  grad_norm: number;
  clip: number;
  coefficient: number;
  threshold: number;
  aux: { n_dead: number; k: number; scale: number }[];
  /** Bits in the tail. */
  dead: readonly number[];
  /** ‖u‖_p of each token, after them. */
  token_norms: readonly number[];
}

/** Words of the struct; what is not given is zero. */
export function packControl(
  d_sae: number,
  { aux = [], dead = [], token_norms = [], ...head }: Partial<ControlFields>,
): Uint32Array<ArrayBuffer> {
  const tail = 8 + 4 * mostLevels;
  const norms = tail + Math.ceil(d_sae / 32);
  const words = new Uint32Array(Math.ceil((norms + token_norms.length) / 4) * 4);
  const floats = new Float32Array(words.buffer);
  words.set([head.n_dead ?? 0, head.n_active ?? 0]);
  floats.set([head.grad_norm ?? 0, head.clip ?? 0, head.coefficient ?? 0, head.threshold ?? 0], 2);
  aux.forEach(({ n_dead, k, scale }, level) => {
    words.set([n_dead, k], 8 + 4 * level);
    floats[8 + 4 * level + 2] = scale;
  });
  for (const f of dead) words[tail + Math.floor(f / 32)]! += 2 ** (f % 32);
  floats.set(token_norms, norms);
  return words;
}

/** @param levels how many of `aux` are wanted. @param tokens how many norms. */
export function unpackControl(
  words: Uint32Array,
  { d_sae, levels = 0, tokens = 0 }: { d_sae: number; levels?: number; tokens?: number },
): ControlFields {
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
  const tail = 8 + 4 * mostLevels;
  return {
    n_dead: words[0]!,
    n_active: words[1]!,
    grad_norm: floats[2]!,
    clip: floats[3]!,
    coefficient: floats[4]!,
    threshold: floats[5]!,
    aux: range(levels).map((level) => ({
      n_dead: words[8 + 4 * level]!,
      k: words[8 + 4 * level + 1]!,
      scale: floats[8 + 4 * level + 2]!,
    })),
    dead: range(32 * Math.ceil(d_sae / 32)).filter(
      (f) => ((words[tail + Math.floor(f / 32)]! >>> (f % 32)) & 1) === 1,
    ),
    token_norms: range(tokens).map((t) => floats[tail + Math.ceil(d_sae / 32) + t]!),
  };
}
