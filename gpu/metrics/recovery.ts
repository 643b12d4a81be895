/**
 * How well a dictionary recovers a known ground truth; definitions as in SAELens' `synthetic` package.
 * w_i is decoder row i, t_j true feature j, match(i) = argmax_j |cos(w_i, t_j)|; x and x̂ are an activation and its
 * reconstruction, means E are over fresh tokens.
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
  /** 1 − E‖x − x̂‖² / (E‖x‖² − ‖E x‖²). */
  explained_variance: number;
  /** Mean of ‖x̂‖ / ‖x‖: below 1, reconstructions are too short. Tokens with x = 0 do not count. */
  shrinkage: number;
  /** Share of the latents that fired on none of the tokens. */
  dead_fraction: number;
  /** Mean number of latents that fire on a token. */
  l0: number;
  /** Mean number of true features that fire on a token. */
  true_l0: number;
  /** True features in the generator. */
  n_features: number;
  /** Tokens behind everything but mcc and uniqueness. */
  tokens: number;
}

/** What of `Recovery` follows from activations. */
export type ActivationScores = Omit<Recovery, "mcc" | "uniqueness" | "n_features">;

/** ‖x‖ below which an activation counts as zero (SAELens). */
const leastNorm = 1e-6;

/** Sums behind `ActivationScores`, token by token, in float64. */
export class RecoveryTotals {
  readonly #match: Uint32Array;
  readonly #d_in: number;
  readonly #n_features: number;
  /** Per latent: tokens on which it fired, its feature did, both did. */
  readonly #latent: Float64Array;
  readonly #feature: Float64Array;
  readonly #both: Float64Array;
  readonly #sum: Float64Array;
  #tokens = 0;
  #features = 0;
  #squares = 0;
  #error = 0;
  #ratios = 0;
  #ratioTokens = 0;

  /** @param match match(i) [n_latents] */
  constructor(match: Uint32Array, d_in: number, n_features: number) {
    this.#match = match;
    this.#d_in = d_in;
    this.#n_features = n_features;
    this.#latent = new Float64Array(match.length);
    this.#feature = new Float64Array(match.length);
    this.#both = new Float64Array(match.length);
    this.#sum = new Float64Array(d_in);
  }

  /** One token: x [d_in], its reconstruction, latents' activations [n_latents], true activations [n_features]. */
  add(
    x: ArrayLike<number>,
    reconstruction: ArrayLike<number>,
    latents: ArrayLike<number>,
    features: ArrayLike<number>,
  ): void {
    this.#tokens++;
    this.#addFirings(latents, features);
    let [input, output, error] = [0, 0, 0];
    for (let column = 0; column < this.#d_in; column++) {
      const [wanted, got] = [x[column]!, reconstruction[column]!];
      input += wanted * wanted;
      output += got * got;
      error += (wanted - got) * (wanted - got);
      this.#sum[column]! += wanted;
    }
    this.#squares += input;
    this.#error += error;
    if (input > leastNorm * leastNorm) {
      this.#ratios += Math.sqrt(output / input);
      this.#ratioTokens++;
    }
  }

  #addFirings(latents: ArrayLike<number>, features: ArrayLike<number>): void {
    for (let j = 0; j < this.#n_features; j++) if (features[j]! > 0) this.#features++;
    for (let i = 0; i < this.#match.length; i++) {
      const latentFires = latents[i]! > 0;
      const featureFires = features[this.#match[i]!]! > 0;
      if (latentFires) this.#latent[i]!++;
      if (featureFires) this.#feature[i]!++;
      if (latentFires && featureFires) this.#both[i]!++;
    }
  }

  /** A ratio 0/0 counts as 0 in means over latents, so dead latents pull these down. */
  result(): ActivationScores {
    const latents = this.#match.length;
    const tokens = this.#tokens;
    let [precision, recall, f1, firings, dead] = [0, 0, 0, 0, 0];
    for (let i = 0; i < latents; i++) {
      const both = this.#both[i]!;
      firings += this.#latent[i]!;
      if (this.#latent[i] === 0) dead++;
      if (both === 0) continue;
      const [p, r] = [both / this.#latent[i]!, both / this.#feature[i]!];
      precision += p / latents;
      recall += r / latents;
      f1 += (2 * p * r) / (p + r) / latents;
    }
    const variance =
      this.#squares / tokens - this.#sum.reduce((sum, value) => sum + (value / tokens) ** 2, 0);
    return {
      precision,
      recall,
      f1,
      explained_variance: 1 - this.#error / tokens / variance,
      shrinkage: this.#ratios / this.#ratioTokens,
      dead_fraction: dead / latents,
      l0: firings / tokens,
      true_l0: this.#features / tokens,
      tokens,
    };
  }
}
