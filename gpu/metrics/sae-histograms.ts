import type { Sae } from "../sae/sae.ts";

/** Counts in bins of equal width; values outside fall into the first or the last bin. */
export interface Histogram {
  from: number;
  to: number;
  counts: number[];
}

/** How the features of an SAE are spread. */
export interface SaeHistograms {
  /** log10 of the firing frequency over the features that fired; null where no frequency is known. */
  frequency: (Histogram & { /** Features that never fired. */ silent: number }) | null;
  /** Norm of each feature's decoder row. */
  decoder_norm: Histogram;
}

/** An odd number, so that a norm that all rows share lies within a bin and not between two. */
const bins = 49;
/** What SAELens adds to a frequency before its logarithm. */
const frequencyFloor = 1e-10;

/**
 * Histograms of an SAE's features. `frequency` [d_sae] in [0, 1] is the share of tokens on which a feature fires.
 */
export function saeHistograms(sae: Pick<Sae, "tensors">, frequency: Float32Array | null): SaeHistograms {
  const W_dec = sae.tensors.W_dec;
  if (W_dec === undefined) throw new RangeError("The SAE has no decoder.");
  return {
    frequency: frequency === null ? null : frequencyHistogram(frequency),
    decoder_norm: normHistogram(rowNorms(W_dec.data, W_dec.shape[1] ?? 0)),
  };
}

/** From SAELens' `sparsity`, log10(frequency + 1e-10), back to frequencies. */
export function frequencyOfSparsity(sparsity: Float32Array): Float32Array {
  return sparsity.map((value) => {
    const frequency = 10 ** value - frequencyFloor;
    return frequency < frequencyFloor / 2 ? 0 : frequency;
  });
}

/** By the decimal logarithm, from the whole decade below the rarest feature to 1. */
export function frequencyHistogram(
  frequency: Float32Array | Float64Array,
): NonNullable<SaeHistograms["frequency"]> {
  const logs: number[] = [];
  let silent = 0;
  for (const one of frequency) {
    if (one > 0) logs.push(Math.log10(one));
    else silent++;
  }
  const lowest = logs.reduce((low, log) => Math.min(low, log), -1);
  return { ...histogram(logs, Math.floor(lowest), 0), silent };
}

function normHistogram(norms: Float64Array): Histogram {
  let low = Number.POSITIVE_INFINITY;
  let high = 0;
  for (const norm of norms) {
    low = Math.min(low, norm);
    high = Math.max(high, norm);
  }
  // Rows of one norm, as under a constraint, stand in the middle of a range that shows it.
  if (!(high - low > 0.02 * high)) return histogram(norms, 0.5 * low, 1.5 * high);
  return histogram(norms, Math.max(0, low - 0.02 * (high - low)), high + 0.02 * (high - low));
}

function histogram(values: ArrayLike<number>, from: number, to: number): Histogram {
  const counts = new Array<number>(bins).fill(0);
  const width = (to - from) / bins;
  for (let at = 0; at < values.length; at++) {
    const bin = width > 0 ? Math.floor((values[at]! - from) / width) : 0;
    const clamped = Math.min(bins - 1, Math.max(0, bin));
    counts[clamped] = counts[clamped]! + 1;
  }
  return { from, to, counts };
}

function rowNorms(rows: Float32Array | Uint32Array, width: number): Float64Array {
  const norms = new Float64Array(width === 0 ? 0 : rows.length / width);
  for (let row = 0; row < norms.length; row++) {
    let sum = 0;
    for (let column = row * width; column < (row + 1) * width; column++) sum += rows[column]! * rows[column]!;
    norms[row] = Math.sqrt(sum);
  }
  return norms;
}
