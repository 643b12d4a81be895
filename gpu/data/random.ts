/**
 * Counter-based random numbers: the same integers here and in shaders/synthetic.wgsl, so that a float64 reference can
 * follow what the GPU draws. No state: a number is a function of what it is asked for.
 */

/**
 * Four random words from four counters (pcg4d: Jarzynski and Olano, "Hash Functions for GPU Rendering", JCGT 9(3),
 * 2020), written to `out[0..3]`.
 */
export function pcg4d(out: Uint32Array, x: number, y: number, z: number, w: number): void {
  let a = (Math.imul(x, 1_664_525) + 1_013_904_223) | 0;
  let b = (Math.imul(y, 1_664_525) + 1_013_904_223) | 0;
  let c = (Math.imul(z, 1_664_525) + 1_013_904_223) | 0;
  let d = (Math.imul(w, 1_664_525) + 1_013_904_223) | 0;
  a = (a + Math.imul(b, d)) | 0;
  b = (b + Math.imul(c, a)) | 0;
  c = (c + Math.imul(a, b)) | 0;
  d = (d + Math.imul(b, c)) | 0;
  a ^= a >>> 16;
  b ^= b >>> 16;
  c ^= c >>> 16;
  d ^= d >>> 16;
  a = (a + Math.imul(b, d)) | 0;
  b = (b + Math.imul(c, a)) | 0;
  c = (c + Math.imul(a, b)) | 0;
  d = (d + Math.imul(b, c)) | 0;
  out[0] = a;
  out[1] = b;
  out[2] = c;
  out[3] = d;
}

/** Standard normal number x with P(X > x) = `tail`, 0 < tail <= 1/2: algorithm AS 241, PPND7 (Wichura 1988), seven figures. */
function upperNormalQuantile(tail: number): number {
  const q = 0.5 - tail;
  if (q <= 0.425) {
    const r = 0.180625 - q * q;
    return (
      (q * (((59.10937472 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179)) /
      (((67.1875636 * r + 78.757757664) * r + 17.895169469) * r + 1)
    );
  }
  const s = Math.sqrt(-Math.log(tail));
  if (s <= 5) {
    const r = s - 1.6;
    return (
      (((0.17023821103 * r + 1.3067284816) * r + 2.75681539) * r + 1.4234372777) /
      ((0.12021132975 * r + 0.7370016425) * r + 1)
    );
  }
  const r = s - 5;
  return (
    (((0.017337203997 * r + 0.42868294337) * r + 3.081226386) * r + 6.657905115) /
    ((0.012258202635 * r + 0.24197894225) * r + 1)
  );
}

/** Φ⁻¹(p) for 0 < p < 1. */
export function normalQuantile(p: number): number {
  return p < 0.5 ? -upperNormalQuantile(p) : upperNormalQuantile(1 - p);
}

/** Φ(x), to 1.5e-7 (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26). */
export function normalProbability(x: number): number {
  const t = 1 / (1 + 0.3275911 * (Math.abs(x) / Math.SQRT2));
  const series =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const tail = (series * Math.exp((-x * x) / 2)) / 2;
  return x < 0 ? tail : 1 - tail;
}

/** A standard normal number from 32 random bits: the top bit is the sign, the others the tail probability. */
export function normalFromBits(bits: number): number {
  const magnitude = upperNormalQuantile(((bits & 0x7fffffff) + 0.5) * 2 ** -32);
  return bits >>> 31 === 1 ? -magnitude : magnitude;
}

/** `count` standard normal numbers of the named series of `seed`. */
export function normals(count: number, seed: number, series: number): Float64Array {
  const values = new Float64Array(count);
  const words = new Uint32Array(4);
  for (let index = 0; index < count; index++) {
    if (index % 4 === 0) pcg4d(words, index / 4, series, 0x6a09e667, seed);
    values[index] = normalFromBits(words[index % 4]!);
  }
  return values;
}
