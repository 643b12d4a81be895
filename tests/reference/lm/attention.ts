import { dot, softCapped, softmaxRows } from "./arithmetic.ts";

export interface AttentionShape {
  n_heads: number;
  /** Heads of keys and values; query head h reads from head floor(h n_kv_heads / n_heads). */
  n_kv_heads: number;
  d_head: number;
}

export interface AttentionRule {
  /** Factor of queries times keys. */
  scale: number;
  /** Soft cap of the scaled scores, before masking. */
  softCap: number | null;
  /** Positions that are seen, the own one included; null: all up to the own. */
  window: number | null;
}

/** Scaled, capped and masked scores of one sequence, [n_heads, length, length]; -∞ where nothing is seen. */
export function attentionScores(
  q: Float64Array,
  k: Float64Array,
  { n_heads, n_kv_heads, d_head }: AttentionShape,
  { scale, softCap, window }: AttentionRule,
): Float64Array {
  const length = q.length / (n_heads * d_head);
  const scores = new Float64Array(n_heads * length * length).fill(Number.NEGATIVE_INFINITY);
  for (let h = 0; h < n_heads; h++) {
    const group = Math.floor((h * n_kv_heads) / n_heads);
    for (let i = 0; i < length; i++) {
      for (let j = window === null ? 0 : Math.max(0, i - window + 1); j <= i; j++) {
        const product = dot(q, (i * n_heads + h) * d_head, k, (j * n_kv_heads + group) * d_head, d_head);
        scores[(h * length + i) * length + j] = softCapped(scale * product, softCap);
      }
    }
  }
  return scores;
}

/** Share of each position's attention by position read, [n_heads, length, length]; rows sum to 1. */
export function attentionPattern(scores: Float64Array, length: number): Float64Array {
  const pattern = scores.slice();
  softmaxRows(pattern, length);
  return pattern;
}

/** Σ_j pattern[h, i, j] v[j], [length, n_heads * d_head]: hook_z. */
export function attended(
  pattern: Float64Array,
  v: Float64Array,
  { n_heads, n_kv_heads, d_head }: AttentionShape,
): Float64Array {
  const length = v.length / (n_kv_heads * d_head);
  const z = new Float64Array(length * n_heads * d_head);
  for (let h = 0; h < n_heads; h++) {
    const group = Math.floor((h * n_kv_heads) / n_heads);
    for (let i = 0; i < length; i++) {
      for (let j = 0; j <= i; j++) {
        const share = pattern[(h * length + i) * length + j]!;
        for (let e = 0; e < d_head; e++) {
          z[(i * n_heads + h) * d_head + e]! += share * v[(j * n_kv_heads + group) * d_head + e]!;
        }
      }
    }
  }
  return z;
}
