/**
 * How well rows are reconstructed. x [n, d] is what should come out (the input; a transcoder's target), x̂ what does,
 * both as they are measured, unscaled; e = x̂ − x, and x̄ is the mean row of all n. Null where a definition divides by
 * zero for every row. Definitions that differ between libraries say whose they are.
 */
export interface Reconstruction {
  /** 1/n Σ_b ‖e_b‖²: summed over the columns, mean over the rows (SAELens mse since 6.45.2). */
  mse: number | null;
  /** Fraction of variance unexplained: Σ_b ‖e_b‖² / Σ_b ‖x_b − x̄‖², over the whole set (Gemma Scope). */
  fvu: number | null;
  /** 1 − Σ_d Var_b(e) / Σ_d Var_b(x) (dictionary_learning); 1 − fvu where the mean error is zero. */
  explained_variance: number | null;
  /** Mean over rows of 1 − ‖e_b‖² / ‖x_b − x̄‖² (SAELens explained_variance_legacy, SAEBench's paper). */
  explained_variance_legacy: number | null;
  /** Mean over rows of ‖e_b‖² / ‖x_b‖² (openai/sparse_autoencoder normalized_mean_squared_error). */
  normalized_mse: number | null;
  /** Mean over rows of ⟨x_b, x̂_b⟩ / (‖x_b‖ ‖x̂_b‖). */
  cossim: number | null;
  /** Mean over rows of ‖x̂_b‖ / ‖x_b‖. */
  l2_ratio: number | null;
  /** 1 − l2_ratio: the part of the norm that is lost. */
  shrinkage: number | null;
  /** γ = Σ_b ‖x̂_b‖² / Σ_b ⟨x_b, x̂_b⟩ (arXiv 2404.16014, section 5.2); 1 is unbiased, less is shrinkage. */
  relative_reconstruction_bias: number | null;
}

/** Sums behind `Reconstruction`, row by row, in float64. Rows for which a ratio has no meaning are left out of its mean. */
export class ReconstructionTotals {
  readonly #mean: Float64Array;
  readonly #errorSum: Float64Array;
  #rows = 0;
  #error = 0;
  #spread = 0;
  #output = 0;
  #inner = 0;
  readonly #legacy = new Mean();
  readonly #normalized = new Mean();
  readonly #cosine = new Mean();
  readonly #ratio = new Mean();

  /** @param mean x̄ [d], from a pass of its own. */
  constructor(mean: Float64Array) {
    this.#mean = mean;
    this.#errorSum = new Float64Array(mean.length);
  }

  /** Rows of x and x̂, [rows, d] each. */
  add(x: Float32Array | Float64Array, reconstruction: Float32Array | Float64Array): void {
    const d = this.#mean.length;
    for (let start = 0; start < x.length; start += d) {
      let error = 0;
      let spread = 0;
      let input = 0;
      let output = 0;
      let inner = 0;
      for (let column = 0; column < d; column++) {
        const wanted = x[start + column]!;
        const got = reconstruction[start + column]!;
        const e = got - wanted;
        const centred = wanted - this.#mean[column]!;
        error += e * e;
        spread += centred * centred;
        input += wanted * wanted;
        output += got * got;
        inner += wanted * got;
        this.#errorSum[column]! += e;
      }
      this.#rows++;
      this.#error += error;
      this.#spread += spread;
      this.#output += output;
      this.#inner += inner;
      if (spread > 0) this.#legacy.add(1 - error / spread);
      if (input > 0) this.#normalized.add(error / input);
      if (input > 0 && output > 0) this.#cosine.add(inner / Math.sqrt(input * output));
      if (input > 0) this.#ratio.add(Math.sqrt(output / input));
    }
  }

  result(): Reconstruction {
    const rows = this.#rows;
    const l2_ratio = this.#ratio.value;
    // Σ_d of the rows' number times the variance of e.
    const errorSpread = this.#error - this.#errorSum.reduce((sum, total) => sum + (total * total) / rows, 0);
    return {
      mse: quotient(this.#error, rows),
      fvu: quotient(this.#error, this.#spread),
      explained_variance: this.#spread > 0 ? 1 - errorSpread / this.#spread : null,
      explained_variance_legacy: this.#legacy.value,
      normalized_mse: this.#normalized.value,
      cossim: this.#cosine.value,
      l2_ratio,
      shrinkage: l2_ratio === null ? null : 1 - l2_ratio,
      relative_reconstruction_bias: quotient(this.#output, this.#inner),
    };
  }
}

class Mean {
  #sum = 0;
  #count = 0;

  add(value: number): void {
    this.#sum += value;
    this.#count++;
  }

  get value(): number | null {
    return quotient(this.#sum, this.#count);
  }
}

function quotient(numerator: number, denominator: number): number | null {
  return denominator === 0 ? null : numerator / denominator;
}
