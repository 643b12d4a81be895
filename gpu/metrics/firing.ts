/**
 * How often features fire, f [n, d_sae] being the activations of n tokens; feature i fires on token b when f_bi > 0,
 * and its density is the share of the tokens on which it does.
 */
export interface Firing {
  /** Mean over tokens of #{i : f_bi > 0}. */
  l0: number;
  /** Mean over tokens of Σ_i f_bi. */
  l1: number;
  /** Features that fired on none of the tokens, as a share of all. More tokens find fewer of them. */
  dead_fraction: number;
  dead_features: number;
  /** Mean density of a feature, l0 / d_sae. */
  mean_density: number;
  /** Features by log10(density + 1e-10) (SAELens' sparsity): `from` ≤ value < `to`, the last bin with its end. */
  log10_density_histogram: { from: number; to: number; features: number }[];
  /** Share of the features with density above 1 %, and of all firings that are theirs (SAEBench). */
  freq_over_1pct: number;
  activations_over_1pct: number;
  /** As above, for 10 %. */
  freq_over_10pct: number;
  activations_over_10pct: number;
}

const lowest = -10;
const binWidth = 0.5;

export class FiringTotals {
  readonly #fired: Float64Array;
  #tokens = 0;
  #sum = 0;

  constructor(d_sae: number) {
    this.#fired = new Float64Array(d_sae);
  }

  /** Activations of some tokens, [tokens, d_sae]. */
  add(activations: Float32Array | Float64Array): void {
    const d_sae = this.#fired.length;
    for (let start = 0; start < activations.length; start += d_sae) {
      for (let feature = 0; feature < d_sae; feature++) {
        const f = activations[start + feature]!;
        if (f > 0) this.#fired[feature]!++;
        this.#sum += f;
      }
      this.#tokens++;
    }
  }

  /** Firing density per feature, [d_sae]. */
  densities(): Float64Array {
    return this.#fired.map((count) => (this.#tokens === 0 ? 0 : count / this.#tokens));
  }

  result(): Firing {
    const densities = this.densities();
    const d_sae = densities.length;
    const all = densities.reduce((sum, density) => sum + density, 0);
    const above = (bound: number) => densities.filter((density) => density > bound);
    const shareOfFirings = (chosen: Float64Array) =>
      all === 0 ? 0 : chosen.reduce((sum, density) => sum + density, 0) / all;
    const dead_features = densities.filter((density) => density === 0).length;
    return {
      l0: all,
      l1: this.#tokens === 0 ? 0 : this.#sum / this.#tokens,
      dead_fraction: dead_features / d_sae,
      dead_features,
      mean_density: all / d_sae,
      log10_density_histogram: histogram(densities),
      freq_over_1pct: above(0.01).length / d_sae,
      activations_over_1pct: shareOfFirings(above(0.01)),
      freq_over_10pct: above(0.1).length / d_sae,
      activations_over_10pct: shareOfFirings(above(0.1)),
    };
  }
}

function histogram(densities: Float64Array): Firing["log10_density_histogram"] {
  const bins = Array.from({ length: -lowest / binWidth }, (_, bin) => ({
    from: lowest + bin * binWidth,
    to: lowest + (bin + 1) * binWidth,
    features: 0,
  }));
  for (const density of densities) {
    const place = Math.floor((Math.log10(density + 1e-10) - lowest) / binWidth);
    bins[Math.min(bins.length - 1, Math.max(0, place))]!.features++;
  }
  return bins;
}
