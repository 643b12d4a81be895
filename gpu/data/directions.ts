import { productsOfRows } from "./products.ts";
import { normals } from "./random.ts";

/** Rows of independent standard normal numbers of the named series of `seed`, scaled to norm 1; [rows, columns]. */
export function randomDirections(rows: number, columns: number, seed: number, series: number): Float64Array {
  const values = normals(rows * columns, seed, series);
  normalizeRows(values, columns);
  return values;
}

/** Scales every row of D [rows, columns] to norm 1. */
export function normalizeRows(D: Float64Array, columns: number): void {
  for (let start = 0; start < D.length; start += columns) {
    let squares = 0;
    for (let at = start; at < start + columns; at++) squares += D[at]! * D[at]!;
    const scale = 1 / Math.sqrt(squares);
    for (let at = start; at < start + columns; at++) D[at]! *= scale;
  }
}

/** Makes rows D [n, d], n <= d, orthonormal, in place: Gram-Schmidt, each row twice (Björck 1994: twice is enough). */
export function orthonormalize(D: Float64Array, d: number): void {
  const row = (i: number) => D.subarray(i * d, (i + 1) * d);
  for (let i = 0; i < D.length / d; i++) {
    const own = row(i);
    for (let round = 0; round < 2; round++) {
      for (let j = 0; j < i; j++) {
        const other = row(j);
        let dot = 0;
        for (let a = 0; a < d; a++) dot += own[a]! * other[a]!;
        for (let a = 0; a < d; a++) own[a]! -= dot * other[a]!;
      }
      normalizeRows(own, d);
    }
  }
}

/** Adam as SAELens pushes features apart with it. */
export const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } as const;

/**
 * Pushes n > d directions D [n, d] apart, in place, as SAELens does: `steps` of Adam on
 *   Σ_{i≠j} ⟨D_i, D_j⟩² + n·Σ_i (‖D_i‖² − 1)²,   gradient 4·(D·(DᵀD) + (n·(‖D_i‖² − 1) − ‖D_i‖²)·D_i),
 * and norms 1 at the end. Its penalty is what keeps the second moments large and the steps small: with rows put back on
 * the sphere after each step instead, Adam drives crowded features into one another (1,024 in 96 dimensions at rate
 * 0.01: mean largest |cos| 0.94, where this reaches 0.33). The product goes through [d, d], never [n, n]:
 * 2·n·d² multiply-adds a step.
 */
export function pushApart(D: Float64Array, d: number, steps: number, lr: number): void {
  for (const _ of pushSteps(D, d, steps, lr));
}

/** As `pushApart`, with the event loop let in between steps. */
export async function pushApartInTurns(D: Float64Array, d: number, steps: number, lr: number): Promise<void> {
  for (const _ of pushSteps(D, d, steps, lr)) await new Promise((resolve) => setTimeout(resolve));
}

function* pushSteps(D: Float64Array, d: number, steps: number, lr: number): Generator<void, void> {
  const n = D.length / d;
  const moment = new Float64Array(n * d);
  const square = new Float64Array(n * d);
  for (let step = 1; step <= steps; step++) {
    const columns = transpose(D, d);
    const gram = productsOfRows(columns, columns, n);
    const product = productsOfRows(D, gram, d);
    const correction1 = 1 - adam.beta1 ** step;
    const correction2 = 1 - adam.beta2 ** step;
    for (let i = 0; i < n; i++) {
      const start = i * d;
      let norm2 = 0;
      for (let at = start; at < start + d; at++) norm2 += D[at]! * D[at]!;
      const pull = n * (norm2 - 1) - norm2;
      for (let at = start; at < start + d; at++) {
        const gradient = 4 * (product[at]! + pull * D[at]!);
        moment[at] = adam.beta1 * moment[at]! + (1 - adam.beta1) * gradient;
        square[at] = adam.beta2 * square[at]! + (1 - adam.beta2) * gradient * gradient;
        D[at]! -= (lr * (moment[at]! / correction1)) / (Math.sqrt(square[at]! / correction2) + adam.epsilon);
      }
    }
    yield;
  }
  normalizeRows(D, d);
}

function transpose(D: Float64Array, d: number): Float64Array {
  const n = D.length / d;
  const result = new Float64Array(D.length);
  for (let i = 0; i < n; i++) for (let a = 0; a < d; a++) result[a * n + i] = D[i * d + a]!;
  return result;
}
