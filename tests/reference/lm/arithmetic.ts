/** What transformers are made of, in float64 and as plainly as possible. Rows are flat: [rows, width]. */

/** y = x Wᵀ + b. */
export interface Linear {
  /** [outputs, inputs]. */
  weight: Float64Array;
  /** [outputs]. */
  bias: Float64Array | null;
  inputs: number;
  outputs: number;
}

export interface Norm {
  /** layer: centred, over the standard deviation; rms: over the root mean square. */
  kind: "layer" | "rms";
  /** What the normalised row is multiplied by, [width]. */
  weight: Float64Array;
  bias: Float64Array | null;
  epsilon: number;
}

/** [rows, inputs] to [rows, outputs]. */
export function linear(x: Float64Array, { weight, bias, inputs, outputs }: Linear): Float64Array {
  const rows = x.length / inputs;
  const y = new Float64Array(rows * outputs);
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < outputs; o++) {
      y[r * outputs + o] = dot(x, r * inputs, weight, o * inputs, inputs) + (bias === null ? 0 : bias[o]!);
    }
  }
  return y;
}

/** Σ a[atA + i] b[atB + i] over `length` terms; four sums at a time, because one would wait for itself. */
export function dot(a: Float64Array, atA: number, b: Float64Array, atB: number, length: number): number {
  const quads = length - (length % 4);
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  for (let i = 0; i < quads; i += 4) {
    s0 += a[atA + i]! * b[atB + i]!;
    s1 += a[atA + i + 1]! * b[atB + i + 1]!;
    s2 += a[atA + i + 2]! * b[atB + i + 2]!;
    s3 += a[atA + i + 3]! * b[atB + i + 3]!;
  }
  for (let i = quads; i < length; i++) s0 += a[atA + i]! * b[atB + i]!;
  return s0 + s1 + (s2 + s3);
}

export function add(...terms: readonly Float64Array[]): Float64Array {
  return terms[0]!.map((_, i) => terms.reduce((sum, term) => sum + term[i]!, 0));
}

/** Every row of `width` normalised, before weight and bias: what TransformerLens calls hook_normalized. */
export function normalized(x: Float64Array, width: number, { kind, epsilon }: Norm): Float64Array {
  const y = x.slice();
  for (let at = 0; at < y.length; at += width) {
    const row = y.subarray(at, at + width);
    if (kind === "layer") {
      const mean = row.reduce((sum, value) => sum + value, 0) / width;
      for (let i = 0; i < width; i++) row[i]! -= mean;
    }
    const scale = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0) / width + epsilon);
    for (let i = 0; i < width; i++) row[i]! /= scale;
  }
  return y;
}

/** Normalised rows times weight plus bias. */
export function weighted(rows: Float64Array, { weight, bias }: Norm): Float64Array {
  const width = weight.length;
  return rows.map((value, at) => value * weight[at % width]! + (bias === null ? 0 : bias[at % width]!));
}

export function norm(x: Float64Array, of: Norm): Float64Array {
  return weighted(normalized(x, of.weight.length, of), of);
}

/** In place, every row of `width`; entries of -∞ become 0. */
export function softmaxRows(rows: Float64Array, width: number): void {
  for (let at = 0; at < rows.length; at += width) {
    const row = rows.subarray(at, at + width);
    const largest = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    let sum = 0;
    for (let i = 0; i < width; i++) {
      row[i] = Math.exp(row[i]! - largest);
      sum += row[i]!;
    }
    for (let i = 0; i < width; i++) row[i]! /= sum;
  }
}

/** cap · tanh(x / cap): Gemma 2's bound on scores and logits. */
export function softCapped(x: number, cap: number | null): number {
  return cap === null ? x : cap * Math.tanh(x / cap);
}

/** log Σ exp of a row. */
export function logSumExp(row: Float64Array): number {
  const largest = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  return largest + Math.log(row.reduce((sum, value) => sum + Math.exp(value - largest), 0));
}

/**
 * The error function, to a few units in the last place. |x| < 3: the series of positive terms
 * erf(x) = 2/√π e^(-x²) Σ 2ⁿ x^(2n+1) / (2n+1)!! (Abramowitz and Stegun 7.1.6); beyond, 1 - erfc(x) by Laplace's
 * continued fraction √π e^(x²) erfc(x) = 1/(x + ½/(x + 1/(x + 3⁄2/(x + …)))) (7.1.14).
 */
export function erf(x: number): number {
  const size = Math.abs(x);
  if (size >= 6) return Math.sign(x);
  if (size < 3) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  let fraction = size;
  for (let n = 80; n >= 1; n--) fraction = size + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-size * size) / (Math.sqrt(Math.PI) * fraction));
}

const geluTanh = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** Hugging Face's names of activation functions (transformers, activations.py). */
const activations: Readonly<Record<string, (x: number) => number>> = {
  gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  gelu_new: geluTanh,
  gelu_pytorch_tanh: geluTanh,
  silu: (x) => x / (1 + Math.exp(-x)),
  relu: (x) => Math.max(0, x),
};

export function activation(name: string): (x: number) => number {
  const found = activations[name];
  if (found === undefined) throw new Error(`The reference does not know the activation function ${name}.`);
  return found;
}
