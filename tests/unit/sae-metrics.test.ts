import { describe, expect, it } from "vitest";
import { normals } from "../../gpu/data/random.ts";
import type { RowReader } from "../../gpu/data/shuffle.ts";
import { dictionaryMetrics } from "../../gpu/metrics/dictionary.ts";
import { evaluateSae } from "../../gpu/metrics/evaluate-sae.ts";
import { FiringTotals } from "../../gpu/metrics/firing.ts";
import { ReconstructionTotals } from "../../gpu/metrics/reconstruction.ts";
import type { Sae, SaeConfig, StateTensor } from "../../gpu/sae/sae.ts";

function reconstruction(mean: number[], x: number[], out: number[]) {
  const totals = new ReconstructionTotals(Float64Array.from(mean));
  totals.add(Float64Array.from(x), Float64Array.from(out));
  return totals.result();
}

describe("reconstruction", () => {
  // x̄ = (3, 0), e = (0, 1), (−1, 0), so ‖e‖² = 1, 1, and ‖x − x̄‖² = 4, 4.
  const measured = reconstruction([3, 0], [1, 0, 5, 0], [1, 1, 4, 0]);

  it.each([
    ["mse", 1],
    ["fvu", 2 / 8],
    // The mean error (−1/2, 1/2) is no variance: 2 · (1/4 + 1/4) of the 2 are left out.
    ["explained_variance", 1 - 1 / 8],
    ["explained_variance_legacy", 1 - 1 / 4],
    ["normalized_mse", (1 + 1 / 25) / 2],
    ["cossim", (Math.SQRT1_2 + 1) / 2],
    ["l2_ratio", (Math.SQRT2 + 0.8) / 2],
    ["shrinkage", 1 - (Math.SQRT2 + 0.8) / 2],
    ["relative_reconstruction_bias", (2 + 16) / (1 + 20)],
  ] as const)("%s", (name, value) => {
    expect(measured[name]).toBeCloseTo(value, 14);
  });

  it("legacy explained variance is a mean of ratios, not a ratio of means", () => {
    // ‖x − x̄‖² = 1, 1, 9 + … with one error of 1 at the first row: ratios 1 and 1/9 differ.
    const { explained_variance_legacy, fvu } = reconstruction([0], [1, -3], [0, -3]);
    expect(explained_variance_legacy).toBeCloseTo((0 + 1) / 2, 14);
    expect(fvu).toBeCloseTo(1 / 10, 14);
  });

  it("says nothing where a definition divides by zero", () => {
    expect(reconstruction([2, 2], [2, 2, 2, 2], [2, 2, 2, 2])).toMatchObject({
      mse: 0,
      fvu: null,
      explained_variance: null,
      explained_variance_legacy: null,
      cossim: expect.closeTo(1, 14),
    });
    expect(reconstruction([0], [0], [1])).toMatchObject({
      normalized_mse: null,
      cossim: null,
      l2_ratio: null,
    });
    // A row of zeros is left out of the ratios' means, and counts in the sums.
    expect(reconstruction([0], [0, 4], [1, 2])).toMatchObject({
      mse: 2.5,
      l2_ratio: 0.5,
      normalized_mse: 0.25,
    });
  });

  it("does not depend on how rows come in batches", () => {
    const x = Float64Array.from(normals(60, 1, 1));
    const out = Float64Array.from(normals(60, 2, 1));
    const totals = new ReconstructionTotals(new Float64Array(3));
    totals.add(x.subarray(0, 12), out.subarray(0, 12));
    totals.add(x.subarray(12), out.subarray(12));
    expect(totals.result()).toEqual(reconstruction([0, 0, 0], [...x], [...out]));
  });
});

describe("firing", () => {
  /** Densities 0, 1/200, 3/200 and 1. */
  function measured() {
    const totals = new FiringTotals(4);
    for (let token = 0; token < 200; token++) {
      totals.add(Float64Array.of(0, token < 1 ? 2 : 0, token < 3 ? 3 : 0, 0.5));
    }
    return totals;
  }

  it("counts activations above zero", () => {
    const firing = measured().result();
    expect(firing.l0).toBeCloseTo(204 / 200, 14);
    expect(firing.l1).toBeCloseTo((2 + 9 + 100) / 200, 14);
    expect(firing.dead_features).toBe(1);
    expect(firing.dead_fraction).toBe(1 / 4);
    expect(firing.mean_density).toBeCloseTo(204 / 800, 14);
    expect([...measured().densities()]).toEqual([0, 1 / 200, 3 / 200, 1]);
  });

  it("tells how much the frequent features do", () => {
    const firing = measured().result();
    expect(firing.freq_over_1pct).toBe(2 / 4);
    expect(firing.activations_over_1pct).toBeCloseTo(203 / 204, 14);
    expect(firing.freq_over_10pct).toBe(1 / 4);
    expect(firing.activations_over_10pct).toBeCloseTo(200 / 204, 14);
  });

  it("puts every feature into one bin of log10 density, dead ones at −10", () => {
    const bins = measured()
      .result()
      .log10_density_histogram.filter(({ features }) => features > 0);
    expect(bins).toEqual([
      { from: -10, to: -9.5, features: 1 },
      // log10(0.005) = −2.3, log10(0.015) = −1.82
      { from: -2.5, to: -2, features: 1 },
      { from: -2, to: -1.5, features: 1 },
      { from: -0.5, to: 0, features: 1 },
    ]);
  });
});

const about: SaeConfig = {
  activation: "relu",
  d_in: 2,
  d_out: 2,
  d_sae: 3,
  k: null,
  rescale_acts_by_decoder_norm: false,
  apply_b_dec_to_input: true,
  normalize_activations: "none",
  transcoder: false,
  skip: false,
  n_hook_points: 1,
  metadata: {
    model_name: null,
    hook_name: null,
    hook_name_out: null,
    dataset_name: null,
    context_size: null,
    prepend_bos: null,
    training_architecture: null,
    extra: {},
  },
};
const tensor = (shape: number[], ...numbers: number[]): StateTensor => ({
  shape,
  data: Float32Array.from(numbers),
});

describe("the dictionary", () => {
  const sae: Sae = {
    config: about,
    tensors: {
      // Columns (1, 0), (0, 2), (3, 3)
      W_enc: tensor([2, 3], 1, 0, 3, 0, 2, 3),
      // Rows (2, 0), (0, 1), (0, 3): cosines with the columns 1, 1, 1/√2; among themselves 0, 0, 1
      W_dec: tensor([3, 2], 2, 0, 0, 1, 0, 3),
      b_enc: tensor([3], 0, 0, 0),
      b_dec: tensor([2], 0, 0),
    },
  };

  it("cosines and norms", () => {
    const measured = dictionaryMetrics(sae);
    expect(measured.encoder_decoder_cosine).toBeCloseTo((2 + Math.SQRT1_2) / 3, 7);
    expect(measured.max_decoder_cosine).toBeCloseTo((0 + 1 + 1) / 3, 7);
    expect(measured.max_encoder_cosine).toBeCloseTo(Math.SQRT1_2, 7);
    expect(measured.max_cosine_features).toBe(3);
    expect(measured.decoder_norm).toEqual({
      mean: 2,
      std: expect.closeTo(Math.sqrt(2 / 3), 14),
      min: 1,
      max: 3,
    });
  });

  it("compares a sample of a large dictionary with all of it", () => {
    // 3 · 2 products a feature: two of them, the first and the second.
    expect(dictionaryMetrics(sae, 12)).toMatchObject({
      max_cosine_features: 2,
      max_decoder_cosine: expect.closeTo((0 + 1) / 2, 7),
    });
  });

  it("does not compare directions of different spaces", () => {
    expect(
      dictionaryMetrics({ ...sae, config: { ...about, transcoder: true } }).encoder_decoder_cosine,
    ).toBeNull();
  });
});

function reader(d_in: number, numbers: Float32Array): RowReader {
  return {
    n_rows: numbers.length / d_in,
    d_in,
    read: (start, count) => Promise.resolve(numbers.slice(start * d_in, (start + count) * d_in)),
  };
}

describe("an evaluation", () => {
  // f = (max(x_0, 0), max(x_1, 0), 0) and x̂ = f_0 (1, 0) + f_1 (0, 1): the positive part of x.
  const sae: Sae = {
    config: about,
    tensors: {
      W_enc: tensor([2, 3], 1, 0, 0, 0, 1, 0),
      W_dec: tensor([3, 2], 1, 0, 0, 1, 1, 0),
      b_enc: tensor([3], 0, 0, 0),
      b_dec: tensor([2], 0, 0),
    },
  };
  const rows = Float32Array.of(1, 0, 3, -4, 5, 2, 100, 100);

  it("is of the first rows, in raw space", async () => {
    const { tokens, reconstruction, firing, densities } = await evaluateSae({
      sae,
      input: reader(2, rows),
      tokens: 3,
    });
    expect(tokens).toBe(3);
    // Mean row (3, −2/3); one error, of 4 in the second row.
    expect(reconstruction.mse).toBeCloseTo(16 / 3, 12);
    expect(reconstruction.fvu).toBeCloseTo(16 / (8 + 16 + 4 - 4 / 3), 12);
    expect(firing.l0).toBeCloseTo(4 / 3, 12);
    expect(firing.l1).toBeCloseTo((1 + 3 + 7) / 3, 12);
    expect([...densities]).toEqual([1, 1 / 3, 0].map((value) => expect.closeTo(value, 12)));
  });

  it("of a transcoder is against its targets", async () => {
    const target = Float32Array.of(1, 0, 3, 0, 5, 2, 100, 99);
    const { reconstruction } = await evaluateSae({
      sae: { ...sae, config: { ...about, transcoder: true } },
      input: reader(2, rows),
      target: reader(2, target),
    });
    expect(reconstruction.mse).toBeCloseTo(1 / 4, 12);
  });

  it("refuses what does not fit, and stops when told to", async () => {
    await expect(evaluateSae({ sae, input: reader(4, rows) })).rejects.toThrow(RangeError);
    await expect(
      evaluateSae({ sae, input: reader(2, rows), target: reader(2, rows.slice(2)) }),
    ).rejects.toThrow("4 rows of 2 and 3 of 2");
    const signal = AbortSignal.abort(new Error("stopped"));
    await expect(evaluateSae({ sae, input: reader(2, rows), signal })).rejects.toThrow("stopped");
  });
});
