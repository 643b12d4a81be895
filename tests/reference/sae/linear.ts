import { tensor } from "./problem.ts";
import type { Parameters, Problem } from "./types.ts";

/** Inner product of row i of A and row t of E, both of `width` columns. */
export function dot(A: Float64Array, i: number, E: Float64Array, t: number, width: number): number {
  let sum = 0;
  for (let c = 0; c < width; c++) sum += A[i * width + c]! * E[t * width + c]!;
  return sum;
}

/** Row i of A += factor · row t of E. */
export function addRow(
  A: Float64Array,
  i: number,
  factor: number,
  E: Float64Array,
  t: number,
  width: number,
): void {
  for (let c = 0; c < width; c++) A[i * width + c]! += factor * E[t * width + c]!;
}

/** Σ of squares. */
export function squares(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value ** 2, 0);
}

/** W_enc x̄ [B, d_sae], plus the bias [d_sae] of that name. */
export function encode({ parameters, B, d_sae, input, encoded }: Problem, bias: string | null): Float64Array {
  const W_enc = tensor(parameters, "W_enc");
  const b = bias === null ? null : tensor(parameters, bias);
  const z = new Float64Array(B * d_sae);
  for (let t = 0; t < B; t++) {
    for (let i = 0; i < d_sae; i++) z[t * d_sae + i] = dot(W_enc, i, encoded, t, input) + (b?.[i] ?? 0);
  }
  return z;
}

/**
 * Σ_{i < below} f_i W_dec[i] + b_dec + W_skip x − y, [B, output].
 * @param f [B, d_sae].
 * @param decoder where W_dec, b_dec and W_skip are taken from.
 */
export function errorOf(
  problem: Problem,
  f: Float64Array,
  below = problem.d_sae,
  decoder: Parameters = problem.parameters,
): Float64Array {
  const { B, d_sae, input, output, x, y } = problem;
  const W_dec = tensor(decoder, "W_dec");
  const b_dec = tensor(decoder, "b_dec");
  const W_skip = decoder.W_skip;
  const error = new Float64Array(B * output);
  for (let t = 0; t < B; t++) {
    for (let i = 0; i < below; i++) {
      const activation = f[t * d_sae + i]!;
      if (activation !== 0) addRow(error, t, activation, W_dec, i, output);
    }
    for (let c = 0; c < output; c++) {
      const linear = W_skip === undefined ? 0 : dot(W_skip, c, x, t, input);
      error[t * output + c]! += b_dec[c]! + linear - y[t * output + c]!;
    }
  }
  return error;
}
