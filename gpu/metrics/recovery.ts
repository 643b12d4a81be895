import { assign } from "./assignment.ts";

/**
 * How well a dictionary recovers a known ground truth; definitions as in SAELens' `synthetic` package.
 * Writing w_i for decoder row i and t_j for true feature j, and match(i) = argmax_j |cos(w_i, t_j)|:
 */
export interface Recovery {
  /**
   * Mean correlation coefficient: the mean of |cos(w_i, t_j)| over the one-to-one pairs (i, j) that make it largest;
   * min(n_latents, n_features) pairs. O'Neill et al., arXiv 2505.20254.
   */
  mcc: number;
  /** 2PR / (P + R) of each latent, averaged over latents. */
  f1: number;
  /** Share of the tokens on which latent i fires on which feature match(i) fires, averaged over latents. */
  precision: number;
  /** Share of the tokens on which feature match(i) fires on which latent i fires, averaged over latents. */
  recall: number;
  /** Distinct match(i) / n_latents. */
  uniqueness: number;
  /** True features in the generator. */
  n_features: number;
}

/** |cos| of every row of `a` [rows, d] with every row of `b` [columns, d]; a zero row has cosine 0 with all. */
export function absoluteCosines(a: Float32Array, b: Float32Array, d: number): Float32Array {
  const [unitA, unitB] = [unitRows(a, d), unitRows(b, d)];
  const rows = a.length / d;
  const columns = b.length / d;
  const cosines = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      let dot = 0;
      for (let index = 0; index < d; index++) dot += unitA[row * d + index]! * unitB[column * d + index]!;
      cosines[row * columns + column] = Math.abs(dot);
    }
  }
  return cosines;
}

function unitRows(rows: Float32Array, d: number): Float64Array {
  const unit = Float64Array.from(rows);
  for (let start = 0; start < unit.length; start += d) {
    const row = unit.subarray(start, start + d);
    const norm = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    if (norm > 0) for (let index = 0; index < d; index++) row[index]! /= norm;
  }
  return unit;
}

/** MCC from |cos| [n_latents, n_features]. */
export function mcc(cosines: Float32Array, n_latents: number, n_features: number): number {
  const wide = n_latents <= n_features;
  const [rows, columns] = wide ? [n_latents, n_features] : [n_features, n_latents];
  const weights = wide ? cosines : transpose(cosines, n_latents, n_features);
  const columnOf = assign(weights, rows, columns);
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

export function uniqueness(match: Uint32Array): number {
  return match.length === 0 ? 0 : new Set(match).size / match.length;
}

/** Counts from which the firing scores follow, one entry a latent. */
export interface FiringCounts {
  match: Uint32Array;
  /** Tokens on which the latent fired. */
  latent: Float64Array;
  /** Tokens on which its matched feature fired. */
  feature: Float64Array;
  /** Tokens on which both did. */
  both: Float64Array;
}

export function emptyFiringCounts(match: Uint32Array): FiringCounts {
  const zeros = () => new Float64Array(match.length);
  return { match, latent: zeros(), feature: zeros(), both: zeros() };
}

/** Adds one token: which latents and which features are above zero. */
export function countFirings(
  counts: FiringCounts,
  latents: ArrayLike<number>,
  features: ArrayLike<number>,
): void {
  for (let i = 0; i < counts.match.length; i++) {
    const latentFires = latents[i]! > 0;
    const featureFires = features[counts.match[i]!]! > 0;
    if (latentFires) counts.latent[i]!++;
    if (featureFires) counts.feature[i]!++;
    if (latentFires && featureFires) counts.both[i]!++;
  }
}

/** Means over all latents; a ratio 0/0 counts as 0, so dead latents pull all three down. */
export function firingScores(counts: FiringCounts): Pick<Recovery, "precision" | "recall" | "f1"> {
  const scores = { precision: 0, recall: 0, f1: 0 };
  const n = counts.match.length;
  for (let i = 0; i < n; i++) {
    const both = counts.both[i]!;
    if (both === 0) continue;
    const precision = both / counts.latent[i]!;
    const recall = both / counts.feature[i]!;
    scores.precision += precision / n;
    scores.recall += recall / n;
    scores.f1 += (2 * precision * recall) / (precision + recall) / n;
  }
  return scores;
}
