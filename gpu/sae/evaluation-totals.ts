import type { Statistics } from "../kernels/statistics.ts";
import type { Evaluation } from "./trainer.ts";

/** What one evaluated batch contributes. */
export interface EvaluatedBatch {
  rows: number;
  statistics: Statistics;
  /** Σ over the batch's tokens of the target and of the error, of every column. */
  y_sum: Float64Array;
  error_sum: Float64Array;
}

/**
 * Evaluation over all batches as one data set: sums of squared deviations from the batches' own means are moved to the
 * common mean (Chan, Golub and LeVeque 1979), in float64.
 */
export function totalEvaluation(batches: readonly EvaluatedBatch[], firings: Uint32Array): Evaluation {
  let tokens = 0;
  let error = 0;
  let active = 0;
  for (const { rows, statistics } of batches) {
    tokens += rows;
    error += statistics.error;
    active += statistics.n_active;
  }
  const yDeviation = deviation(
    batches,
    tokens,
    ({ y_sum }) => y_sum,
    (s) => s.y_deviation,
  );
  const errorDeviation = deviation(
    batches,
    tokens,
    ({ error_sum }) => error_sum,
    (s) => s.error_deviation,
  );
  return {
    tokens,
    mse: error / tokens,
    fvu: error / yDeviation,
    explained_variance: 1 - errorDeviation / yDeviation,
    l0: active / tokens,
    dead_features: firings.reduce((dead, count) => dead + (count === 0 ? 1 : 0), 0),
    feature_frequency: Float32Array.from(firings, (count) => count / tokens),
  };
}

function deviation(
  batches: readonly EvaluatedBatch[],
  tokens: number,
  sumOf: (batch: EvaluatedBatch) => Float64Array,
  withinOf: (statistics: Statistics) => number,
): number {
  const columns = batches[0] === undefined ? 0 : sumOf(batches[0]).length;
  const mean = new Float64Array(columns);
  for (const batch of batches)
    sumOf(batch).forEach((sum, i) => {
      mean[i]! += sum / tokens;
    });
  let total = 0;
  for (const batch of batches) {
    total += withinOf(batch.statistics);
    sumOf(batch).forEach((sum, i) => {
      total += batch.rows * (sum / batch.rows - mean[i]!) ** 2;
    });
  }
  return total;
}
