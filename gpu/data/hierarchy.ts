import type { SyntheticConfig } from "./synthetic.ts";

/** A feature's parent where it has none. */
export const NO_PARENT = 0xffffffff;

/** Trees over the first features of a generator; one entry a feature. */
export interface Trees {
  /** Index of the parent, `NO_PARENT` for roots and for features outside the hierarchy. */
  parent: Uint32Array;
  /** Siblings of one parent are consecutive: index of the first, and how many. */
  first_sibling: Uint32Array;
  n_siblings: Uint32Array;
}

/** Features that a hierarchy of this shape takes: roots · (1 + b + … + b^depth). */
export function hierarchySize(
  config: Pick<SyntheticConfig, "hierarchy_roots" | "hierarchy_branching" | "hierarchy_depth">,
): number {
  let perRoot = 0;
  for (let level = 0; level <= config.hierarchy_depth; level++)
    perRoot += config.hierarchy_branching ** level;
  return config.hierarchy_roots * perRoot;
}

/**
 * Level by level, as SAELens numbers them: all roots, then their children parent by parent, and so on; the features
 * that are left stand alone. Rates fall with the index, so a parent fires more often than its children.
 */
export function growTrees(config: SyntheticConfig): Trees {
  const { n_features, hierarchy_roots: roots, hierarchy_branching: branching } = config;
  const trees: Trees = {
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
      trees.parent[start + index] = above + parent;
      trees.first_sibling[start + index] = start + parent * branching;
      trees.n_siblings[start + index] = branching;
    }
    above = start;
    width *= branching;
  }
  return trees;
}

/**
 * Probabilities with which features are drawn, so that the hierarchy brings their rates back to p: p_i / p_parent, and
 * where siblings exclude each other times 1 + Σ_{j≠i} p_j / p_parent, at most 1.
 *
 * The second factor is SAELens' and of first order: siblings crowd one another out more than it makes up for. Exact
 * compensation would often need siblings whose rates add up to more than their parent's, and SynthSAEBench's mean L0 of
 * 34 (its p add up to 59) is that of this formula. `firingRates` says what comes out.
 */
export function compensated(p: Float64Array, trees: Trees, exclusive: boolean): Float64Array {
  return p.map((own, i) => {
    const parent = trees.parent[i]!;
    if (parent === NO_PARENT) return own;
    const first = trees.first_sibling[i]!;
    const group = p.subarray(first, first + trees.n_siblings[i]!);
    const others = exclusive ? group.reduce((sum, value) => sum + value, 0) - own : 0;
    return Math.min(1, (own / p[parent]!) * (1 + others / p[parent]!));
  });
}

/**
 * Share of tokens on which each feature is left firing, of those on which it is drawn: exact for independent draws.
 * A parent comes before its children.
 */
export function firingRates(drawn: Float64Array, trees: Trees, exclusive: boolean): Float64Array {
  const rates = Float64Array.from(drawn);
  for (let i = 0; i < rates.length; i++) {
    const parent = trees.parent[i]!;
    if (parent === NO_PARENT) continue;
    const first = trees.first_sibling[i]!;
    const siblings = drawn.subarray(first, first + trees.n_siblings[i]!);
    rates[i] = rates[parent]! * drawn[i]! * (exclusive ? winShare(siblings, i - first) : 1);
  }
  return rates;
}

/** Chance that sibling s wins when it fires: E[1/(1 + N)] for the number N of other siblings that fire. */
function winShare(probabilities: Float64Array, s: number): number {
  let counts = [1];
  for (const [j, q] of probabilities.entries()) {
    if (j === s) continue;
    const next = new Array<number>(counts.length + 1).fill(0);
    for (const [n, chance] of counts.entries()) {
      next[n]! += chance * (1 - q);
      next[n + 1]! += chance * q;
    }
    counts = next;
  }
  return counts.reduce((sum, chance, n) => sum + chance / (1 + n), 0);
}
