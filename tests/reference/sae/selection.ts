import { penaltyNorms } from "./norms.ts";
import type { Problem } from "./types.ts";

/**
 * The values by which features are ranked, [B, d_sae]: z, times the decoder norm (summed over hook points) where the
 * decoder is free and `rescale_acts_by_decoder_norm` says so; never for a crosscoder over topk.
 */
export function rankingOf(problem: Problem, z: Float64Array): Float64Array {
  const { config, d_sae } = problem;
  if (config.decoder_norm === "unit" || !config.rescale_acts_by_decoder_norm) return z;
  if (config.architecture === "crosscoder" && config.base_architecture === "topk") return z;
  const norms = penaltyNorms(problem);
  return z.map((value, at) => value * norms[at % d_sae]!);
}

/** The k candidates of largest value, ties to the lower feature, ascending. */
export function largest(values: ArrayLike<number>, candidates: readonly number[], k: number): number[] {
  return [...candidates]
    .sort((a, b) => values[b]! - values[a]! || a - b)
    .slice(0, k)
    .sort((a, b) => a - b);
}

/** max(z, 0) on the k features of each token that rank highest, else 0; [B, d_sae]. */
export function keepPerToken(
  { B, d_sae }: Problem,
  z: Float64Array,
  ranking: Float64Array,
  k: number,
): Float64Array {
  const every = Array.from({ length: d_sae }, (_, i) => i);
  const f = new Float64Array(B * d_sae);
  for (let t = 0; t < B; t++) {
    const row = ranking.subarray(t * d_sae, (t + 1) * d_sae);
    for (const i of largest(row, every, k)) f[t * d_sae + i] = Math.max(z[t * d_sae + i]!, 0);
  }
  return f;
}

/**
 * z where its ranking is positive and at least the K-th largest positive one of the batch, else 0: equals at that
 * place all stay, and all positive ones where there are fewer than K.
 */
export function keepPerBatch(
  z: Float64Array,
  ranking: Float64Array,
  K: number,
): { f: Float64Array; smallest_kept: number | null } {
  const positive = ranking.filter((value) => value > 0).sort((a, b) => b - a);
  const smallest_kept = positive[Math.min(K, positive.length) - 1] ?? null;
  const kept = (at: number) => smallest_kept !== null && ranking[at]! >= smallest_kept;
  return { f: z.map((value, at) => (kept(at) ? value : 0)), smallest_kept };
}
