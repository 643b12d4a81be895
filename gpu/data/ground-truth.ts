import { normalQuantile, normals } from "./random.ts";
import type { SyntheticConfig } from "./synthetic.ts";

/** A feature's parent where it has none. */
export const NO_PARENT = 0xffffffff;

/** Constants of a synthetic generator; one entry a feature unless said otherwise. */
export interface GroundTruth {
  /** True features D, unit rows, [n_features, d_in]. */
  dictionary: Float32Array;
  /** Added to every activation, [d_in]. */
  bias: Float32Array;
  /** Share of tokens on which the feature is meant to fire. */
  firing_probability: Float64Array;
  /** Probability with which it is drawn, before the hierarchy silences it. */
  draw_probability: Float64Array;
  /** Mean and standard deviation of its activation before the ReLU. */
  magnitude_mean: Float32Array;
  magnitude_std: Float32Array;
  /** Loadings L on the hidden causes, [n_features, correlation_rank]. */
  loadings: Float32Array;
  /** √(1 − Σ_r L²), the part of a feature's Gaussian that is its own. */
  residual: Float32Array;
  /** Φ⁻¹(1 − draw_probability) = √2·erfinv(1 − 2p): the Gaussian copula's threshold. */
  threshold: Float32Array;
  /** Index of the parent, `NO_PARENT` for roots and for features outside the hierarchy. */
  parent: Uint32Array;
  /** Siblings of one parent are consecutive: index of the first, and how many. */
  first_sibling: Uint32Array;
  n_siblings: Uint32Array;
}

/** Series of random constants; each draws its own numbers from the seed. */
const series = { dictionary: 1, bias: 2, loadings: 3, std: 4 } as const;

/** Makes the generator's constants. Cost is `orthogonalize_steps` · n_features · d_in² multiply-adds, twice. */
export function groundTruth(config: SyntheticConfig): GroundTruth {
  const { n_features, d_in, seed } = config;
  const dictionary = randomDirections(n_features, d_in, seed, series.dictionary);
  orthogonalize(dictionary, n_features, d_in, config.orthogonalize_steps, config.orthogonalize_lr);
  const bias = randomDirections(1, d_in, seed, series.bias).map((value) => value * config.bias_norm);

  const tree = hierarchy(config);
  const firing_probability = firingProbabilities(config);
  const draw_probability = config.compensate_probabilities
    ? compensated(firing_probability, tree, config.mutually_exclusive_children)
    : firing_probability;

  const last = config.magnitude_mean_last ?? config.magnitude_mean;
  const magnitude_mean = Float32Array.from(
    { length: n_features },
    (_, i) => config.magnitude_mean + ((last - config.magnitude_mean) * i) / Math.max(1, n_features - 1),
  );
  const magnitude_std = Float32Array.from(normals(n_features, seed, series.std), (value) =>
    Math.abs(config.magnitude_std + config.magnitude_std_spread * value),
  );

  return {
    dictionary: Float32Array.from(dictionary),
    bias: Float32Array.from(bias),
    firing_probability,
    draw_probability,
    magnitude_mean,
    magnitude_std,
    ...correlation(config),
    threshold: Float32Array.from(draw_probability, (p) => (p >= 1 ? -1e30 : normalQuantile(1 - p))),
    ...tree,
  };
}

function randomDirections(rows: number, columns: number, seed: number, of: number): Float64Array {
  const values = normals(rows * columns, seed, of);
  for (let row = 0; row < rows; row++) normalize(values.subarray(row * columns, (row + 1) * columns));
  return values;
}

function normalize(vector: Float64Array): void {
  let squares = 0;
  for (const value of vector) squares += value * value;
  const scale = 1 / Math.sqrt(squares);
  for (let index = 0; index < vector.length; index++) vector[index]! *= scale;
}

/**
 * Adam (β 0.9, 0.999) on Σ_{i≠j} cos²(D_i, D_j), rows put back on the unit sphere after every step. SAELens keeps them
 * near it by a penalty instead. The gradient 4·(D(DᵀD) − D) goes through the [d_in, d_in] product, never [n, n].
 */
function orthogonalize(D: Float64Array, n: number, d: number, steps: number, lr: number): void {
  const moment = new Float64Array(n * d);
  const square = new Float64Array(n * d);
  const gram = new Float64Array(d * d);
  const product = new Float64Array(d);
  for (let step = 1; step <= steps; step++) {
    gram.fill(0);
    for (let i = 0; i < n; i++) {
      for (let a = 0; a < d; a++) {
        const value = D[i * d + a]!;
        for (let b = 0; b < d; b++) gram[a * d + b]! += value * D[i * d + b]!;
      }
    }
    const correction1 = 1 - 0.9 ** step;
    const correction2 = 1 - 0.999 ** step;
    for (let i = 0; i < n; i++) {
      const row = D.subarray(i * d, (i + 1) * d);
      product.fill(0);
      for (let a = 0; a < d; a++) {
        const value = row[a]!;
        for (let b = 0; b < d; b++) product[b]! += value * gram[a * d + b]!;
      }
      for (let b = 0; b < d; b++) {
        const at = i * d + b;
        const gradient = 4 * (product[b]! - row[b]!);
        moment[at] = 0.9 * moment[at]! + 0.1 * gradient;
        square[at] = 0.999 * square[at]! + 0.001 * gradient * gradient;
        row[b]! -= (lr * (moment[at]! / correction1)) / (Math.sqrt(square[at]! / correction2) + 1e-8);
      }
      normalize(row);
    }
  }
}

/** flat: p; zipf: min + (max − min)·(i^−a − n^−a)/(1 − n^−a) for i = 1 … n, most frequent first. */
function firingProbabilities(config: SyntheticConfig): Float64Array {
  const { n_features: n, firing_probability: max, firing_probability_min: min, zipf_exponent: a } = config;
  if (config.firing_distribution === "flat" || n === 1) return new Float64Array(n).fill(max);
  const end = n ** -a;
  return Float64Array.from({ length: n }, (_, i) => min + ((max - min) * ((i + 1) ** -a - end)) / (1 - end));
}

type Tree = Pick<GroundTruth, "parent" | "first_sibling" | "n_siblings">;

/** Level by level: all roots, then their children parent by parent, and so on; the features that are left stand alone. */
function hierarchy(config: SyntheticConfig): Tree {
  const { n_features, hierarchy_roots: roots, hierarchy_branching: branching } = config;
  const tree: Tree = {
    parent: new Uint32Array(n_features).fill(NO_PARENT),
    first_sibling: new Uint32Array(n_features),
    n_siblings: new Uint32Array(n_features),
  };
  let above = 0;
  let width = roots;
  for (let level = 1; level <= config.hierarchy_depth; level++) {
    const start = above + width;
    for (let index = 0; index < width * branching; index++) {
      const parent = Math.floor(index / branching);
      tree.parent[start + index] = above + parent;
      tree.first_sibling[start + index] = start + parent * branching;
      tree.n_siblings[start + index] = branching;
    }
    above = start;
    width *= branching;
  }
  return tree;
}

/**
 * Draw probabilities q with which the marginal rates come out as p: q_i·E[1/(1 + others)] = p_i / p_parent, where
 * `others` is the number of firing siblings if they exclude each other. Exact for independent draws; capped at 1,
 * so a child meant to fire more often than its parent lets it stays below its rate.
 */
function compensated(p: Float64Array, tree: Tree, exclusive: boolean): Float64Array {
  const draw = Float64Array.from(p);
  const reached = Float64Array.from(p);
  for (let i = 0; i < p.length; i++) {
    const parent = tree.parent[i]!;
    if (parent === NO_PARENT || tree.first_sibling[i] !== i) continue;
    const siblings = tree.n_siblings[i]!;
    const wanted = p.subarray(i, i + siblings).map((value) => Math.min(1, value / reached[parent]!));
    let q = wanted;
    // Fixed point of q_i = wanted_i / E[1/(1 + others)]; the sum of wins cannot pass 1, hence the cap at 1.
    for (let round = 0; exclusive && round < 200; round++) {
      const share = q.map((_, s) => winShare(q, s));
      q = wanted.map((value, s) => Math.min(1, value / share[s]!));
    }
    draw.set(q, i);
    for (let s = 0; s < siblings; s++) {
      reached[i + s] = reached[parent]! * q[s]! * (exclusive ? winShare(q, s) : 1);
    }
  }
  return draw;
}

/** E[1/(1 + N)] for N = number of firing siblings of s: ∫₀¹ Π_{j≠s} (1 − q_j + q_j·t) dt, through the distribution of N. */
function winShare(q: Float64Array, s: number): number {
  let counts = [1];
  for (let j = 0; j < q.length; j++) {
    if (j === s) continue;
    const next = new Array<number>(counts.length + 1).fill(0);
    for (let n = 0; n < counts.length; n++) {
      next[n]! += counts[n]! * (1 - q[j]!);
      next[n + 1]! += counts[n]! * q[j]!;
    }
    counts = next;
  }
  return counts.reduce((sum, chance, n) => sum + chance / (1 + n), 0);
}

/** Loadings N(0, scale²); a row whose hidden causes would take more than 95 % of its variance is shrunk to that. */
function correlation(config: SyntheticConfig): Pick<GroundTruth, "loadings" | "residual"> {
  const { n_features, correlation_rank: rank, correlation_scale: scale, seed } = config;
  const loadings = Float32Array.from(
    normals(n_features * rank, seed, series.loadings),
    (value) => value * scale,
  );
  const residual = new Float32Array(n_features).fill(1);
  for (let i = 0; i < n_features; i++) {
    const row = loadings.subarray(i * rank, (i + 1) * rank);
    let shared = row.reduce((sum, value) => sum + value * value, 0);
    if (shared > 0.95) {
      const shrink = Math.sqrt(0.95 / shared);
      for (let r = 0; r < rank; r++) row[r]! *= shrink;
      shared = 0.95;
    }
    residual[i] = Math.sqrt(1 - shared);
  }
  return { loadings, residual };
}
