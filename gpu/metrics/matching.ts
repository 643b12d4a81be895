import { normalizeRows } from "../data/directions.ts";
import { productsOfRows } from "../data/products.ts";
import { assign } from "./assignment.ts";
import { Turns } from "./turns.ts";

/** Rows whose products are held in float64 at once. */
const rowsTogether = 32;

/**
 * |cos| of every row of `a` [rows, d] with every row of `b` [columns, d], [rows, columns]; a zero row has cosine 0 with
 * all. Lets the event loop in now and then.
 */
export async function absoluteCosines(a: Float32Array, b: Float32Array, d: number): Promise<Float32Array> {
  const [unitA, unitB] = [unitRows(a, d), unitRows(b, d)];
  const columns = b.length / d;
  const cosines = new Float32Array((a.length / d) * columns);
  const turns = new Turns();
  for (let start = 0; start * d < unitA.length; start += rowsTogether) {
    const block = productsOfRows(unitA.subarray(start * d, (start + rowsTogether) * d), unitB, d);
    for (let at = 0; at < block.length; at++) cosines[start * columns + at] = Math.abs(block[at]!);
    await turns.pause();
  }
  return cosines;
}

function unitRows(rows: Float32Array, d: number): Float64Array {
  const unit = Float64Array.from(rows);
  for (let start = 0; start < unit.length; start += d) {
    const row = unit.subarray(start, start + d);
    if (row.some((value) => value !== 0)) normalizeRows(row, d);
  }
  return unit;
}

/** MCC (`Recovery.mcc`) from |cos| [n_latents, n_features]. */
export async function mcc(cosines: Float32Array, n_latents: number, n_features: number): Promise<number> {
  const wide = n_latents <= n_features;
  const [rows, columns] = wide ? [n_latents, n_features] : [n_features, n_latents];
  const weights = wide ? cosines : transpose(cosines, n_latents, n_features);
  const columnOf = await assign(weights, rows, columns);
  return columnOf.reduce((sum, column, row) => sum + weights[row * columns + column]!, 0) / rows;
}

function transpose(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(matrix.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      result[column * rows + row] = matrix[row * columns + column]!;
    }
  }
  return result;
}

/** match(i): for every latent the true feature of largest |cos|, the first of equals. */
export function bestMatches(cosines: Float32Array, n_features: number): Uint32Array {
  return Uint32Array.from({ length: cosines.length / n_features }, (_, latent) => {
    const row = cosines.subarray(latent * n_features, (latent + 1) * n_features);
    return row.reduce((best, value, feature) => (value > row[best]! ? feature : best), 0);
  });
}

/** Distinct match(i) / n_latents. */
export function uniqueness(match: Uint32Array): number {
  return match.length === 0 ? 0 : new Set(match).size / match.length;
}
