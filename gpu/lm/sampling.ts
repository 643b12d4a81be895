import type { RandomStream } from "../sae/random.ts";

/** How the next token is chosen from logits. */
export interface SamplingOptions {
  /** Divides the logits; 0: always the likeliest token. Default 1. */
  temperature?: number;
  /** Only so many of the likeliest tokens; null: all. */
  top_k?: number | null;
  /** Only the fewest of the likeliest tokens that together have this share of what `top_k` left; null: all. */
  top_p?: number | null;
}

/** Tokens that may be chosen, with their probabilities, which add up to one. */
export interface Candidates {
  ids: Uint32Array;
  /** f64, in the order of `ids`. */
  probabilities: Float64Array;
}

/** @throws RangeError */
export function checkSampling({ temperature = 1, top_k = null, top_p = null }: SamplingOptions): void {
  if (!Number.isFinite(temperature) || temperature < 0) {
    throw new RangeError(`The temperature is a number from 0 on, not ${temperature}.`);
  }
  if (top_k !== null && (!Number.isInteger(top_k) || top_k < 1)) {
    throw new RangeError(`top_k is a whole number above 0, not ${top_k}.`);
  }
  if (top_p !== null && !(top_p > 0 && top_p <= 1)) {
    throw new RangeError(`top_p is above 0 and at most 1, not ${top_p}.`);
  }
}

/** The token of the largest logit; of equal ones the first. */
export function likeliest(logits: Float32Array): number {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id;
  return best;
}

/**
 * Softmax of logits / temperature over the tokens that top_k and then top_p leave (Fan et al. 2018; Holtzman et al.
 * 2020), in float64. Tokens are in the order of their ids where all are left, else the likeliest first; of equal ones
 * the smaller id comes first, so that top_k leaves exactly k.
 * @param options with a temperature above 0.
 */
export function candidates(
  logits: Float32Array,
  { temperature = 1, top_k = null, top_p = null }: SamplingOptions,
): Candidates {
  let ids = Uint32Array.from(logits, (_, id) => id);
  if (top_k !== null || top_p !== null) {
    ids.sort((a, b) => logits[b]! - logits[a]! || a - b);
    if (top_k !== null) ids = ids.subarray(0, top_k);
  }
  const largest = logits[likeliest(logits)]!;
  const shares = Float64Array.from(ids, (id) => Math.exp((logits[id]! - largest) / temperature));
  const total = sum(shares);
  let kept = ids.length;
  if (top_p !== null) {
    kept = 0;
    for (let share = 0; kept < ids.length && share < top_p * total; kept++) share += shares[kept]!;
  }
  const of = kept === ids.length ? total : sum(shares.subarray(0, kept));
  return { ids: ids.slice(0, kept), probabilities: shares.slice(0, kept).map((share) => share / of) };
}

/** The next token. A temperature of 0 draws no number. */
export function sample(logits: Float32Array, options: SamplingOptions, random: RandomStream): number {
  if (options.temperature === 0) return likeliest(logits);
  const { ids, probabilities } = candidates(logits, options);
  let left = random.uniform();
  // What rounding leaves beyond the last share is the last token's that has one.
  let last = 0;
  for (let i = 0; i < ids.length; i++) {
    if (probabilities[i]! === 0) continue;
    last = i;
    if (left < probabilities[i]!) break;
    left -= probabilities[i]!;
  }
  return ids[last]!;
}

function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + value, 0);
}
