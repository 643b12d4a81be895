import { describe, expect, it } from "vitest";
import { orthonormalize, pushApart, randomDirections } from "../../gpu/data/directions.ts";
import { groundTruth, takesLong } from "../../gpu/data/ground-truth.ts";
import { firingRates, NO_PARENT } from "../../gpu/data/hierarchy.ts";
import { syntheticGenerators } from "../../gpu/data/presets.ts";
import { productsOfRows } from "../../gpu/data/products.ts";
import { normalProbability, normalQuantile, normals } from "../../gpu/data/random.ts";
import { type SyntheticConfigInput, syntheticConfigSchema } from "../../gpu/data/synthetic.ts";

const truthOf = (config: SyntheticConfigInput) => groundTruth(syntheticConfigSchema.parse(config));
const sum = (values: ArrayLike<number>) => Array.from(values).reduce((total, value) => total + value, 0);

/** Mean over rows of the largest |cos| with another row, of unit rows [n, d]. */
function meanLargestCosine(D: ArrayLike<number>, d: number): number {
  const rows = Float64Array.from(D);
  const n = rows.length / d;
  const cosines = productsOfRows(rows, rows, d);
  let total = 0;
  for (let i = 0; i < n; i++) {
    let largest = 0;
    for (let j = 0; j < n; j++) if (j !== i) largest = Math.max(largest, Math.abs(cosines[i * n + j]!));
    total += largest / n;
  }
  return total;
}

describe("true features", () => {
  it("are orthonormal to rounding where there is room for all, and fixed by the seed", () => {
    for (const [n, d] of [
      [16, 32],
      [64, 64],
      [1, 2],
    ] as const) {
      const { dictionary } = truthOf({ d_in: d, n_features: n });
      const gram = productsOfRows(Float64Array.from(dictionary), Float64Array.from(dictionary), d);
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) expect(Math.abs(gram[i * n + j]! - (i === j ? 1 : 0))).toBeLessThan(1e-6);
      }
      expect(truthOf({ d_in: d, n_features: n }).dictionary).toEqual(dictionary);
      expect(truthOf({ d_in: d, n_features: n, seed: 1 }).dictionary).not.toEqual(dictionary);
    }
  });

  it("stay as they were drawn without orthogonalisation", () => {
    const { dictionary } = truthOf({ d_in: 32, n_features: 16, orthogonalize_steps: 0 });
    expect(meanLargestCosine(dictionary, 32)).toBeGreaterThan(0.2);
  });

  it("are pushed apart by Adam on the gradient of Σ cos² + n·Σ(‖·‖² − 1)²", () => {
    const [n, d, lr] = [5, 3, 0.01];
    const start = randomDirections(n, d, 3, 1);
    const loss = (D: Float64Array) => {
      const gram = productsOfRows(D, D, d);
      let total = 0;
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++)
          total += i === j ? n * (gram[i * n + i]! - 1) ** 2 : gram[i * n + j]! ** 2;
      }
      return total;
    };
    const wanted = start.slice();
    const [moment, square] = [new Float64Array(n * d), new Float64Array(n * d)];
    for (let step = 1; step <= 3; step++) {
      const gradient = wanted.map((value, at) => {
        const nudged = (by: number) =>
          loss(wanted.map((other, index) => (index === at ? value + by : other)));
        return (nudged(1e-6) - nudged(-1e-6)) / 2e-6;
      });
      for (let at = 0; at < n * d; at++) {
        moment[at] = 0.9 * moment[at]! + 0.1 * gradient[at]!;
        square[at] = 0.999 * square[at]! + 0.001 * gradient[at]! ** 2;
        const direction = moment[at]! / (1 - 0.9 ** step) / Math.sqrt(square[at]! / (1 - 0.999 ** step));
        wanted[at]! -= lr * direction;
      }
    }
    const found = start.slice();
    pushApart(found, d, 3, lr);
    for (let i = 0; i < n; i++) {
      const row = wanted.subarray(i * d, (i + 1) * d);
      const norm = Math.sqrt(sum(row.map((value) => value * value)));
      for (let a = 0; a < d; a++) expect(found[i * d + a]).toBeCloseTo(row[a]! / norm, 6);
    }
  });

  it("crowd no more than chance has it, at the fast rate either", { timeout: 60_000 }, () => {
    const start = randomDirections(256, 32, 1, 1);
    const before = meanLargestCosine(start, 32);
    pushApart(start, 32, 200, 0.01);
    expect(meanLargestCosine(start, 32)).toBeLessThan(before);
    // A tight frame: the least that the sum of squares can be (Welch).
    const gram = productsOfRows(start, start, 32);
    const offDiagonal = sum(gram.map((value) => value * value)) - 256;
    expect(offDiagonal / ((256 * 256) / 32 - 256)).toBeCloseTo(1, 3);
  });

  it("orthonormalises nearly parallel rows too", () => {
    const near = 1e-8;
    const D = Float64Array.from([1, near, 0, 0, 1, 0, near, 0, 1, 0, 0, near]);
    orthonormalize(D, 4);
    const gram = productsOfRows(D, D, 4);
    for (let i = 0; i < 9; i++) expect(gram[i]).toBeCloseTo(i % 4 === 0 ? 1 : 0, 13);
  });
});

describe("rates, sizes and causes", () => {
  it("bias has its norm, deviations are |N(mean, spread)|, means run linearly", () => {
    const truth = truthOf({
      d_in: 64,
      n_features: 64,
      magnitude_mean: 5,
      magnitude_mean_last: 4,
      magnitude_std: 0.5,
      magnitude_std_spread: 0.5,
    });
    expect(Math.sqrt(sum(truth.bias.map((value) => value * value)))).toBeCloseTo(0.5, 6);
    expect(truth.magnitude_mean[0]).toBe(5);
    expect(truth.magnitude_mean[63]).toBe(4);
    expect(truth.magnitude_mean[21]).toBeCloseTo(5 - 21 / 63, 6);
    const raw = normals(64, 42, 4);
    expect(truth.magnitude_std[7]).toBeCloseTo(Math.abs(0.5 + 0.5 * raw[7]!), 6);
    expect(Math.min(...truth.magnitude_std)).toBeGreaterThanOrEqual(0);
  });

  it("loadings and the feature's own part make up variance 1, however large they were drawn", () => {
    for (const scale of [0.1, 0.7]) {
      const { loadings, residual } = truthOf({
        d_in: 8,
        n_features: 500,
        orthogonalize_steps: 0,
        correlation_rank: 1,
        correlation_scale: scale,
      });
      for (let i = 0; i < 500; i++) expect(loadings[i]! ** 2 + residual[i]! ** 2).toBeCloseTo(1, 6);
      expect(Math.min(...residual)).toBeGreaterThan(0.099);
    }
  });

  it("hierarchies number features level by level, and compensate as SAELens does", () => {
    const truth = truthOf({
      d_in: 8,
      n_features: 20,
      orthogonalize_steps: 0,
      firing_probability: 0.4,
      firing_probability_min: 0.01,
      hierarchy_roots: 2,
      hierarchy_branching: 2,
      hierarchy_depth: 2,
      mutually_exclusive_children: true,
    });
    expect([...truth.parent]).toEqual([
      ...[NO_PARENT, NO_PARENT, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5],
      ...new Array<number>(6).fill(NO_PARENT),
    ]);
    const p = truth.firing_probability;
    expect(truth.draw_probability[1]).toBe(p[1]);
    expect(truth.draw_probability[19]).toBe(p[19]);
    // 1 / p_parent, times 1 + p_sibling / p_parent.
    expect(truth.draw_probability[4]).toBeCloseTo((p[4]! / p[1]!) * (1 + p[5]! / p[1]!), 12);
    expect(truth.draw_probability[13]).toBeCloseTo((p[13]! / p[5]!) * (1 + p[12]! / p[5]!), 12);
  });

  it("says what rates come out: the products down a tree, and a random winner's share", () => {
    const trees = {
      parent: Uint32Array.of(NO_PARENT, 0, 0, 0, 1),
      first_sibling: Uint32Array.of(0, 1, 1, 1, 4),
      n_siblings: Uint32Array.of(0, 3, 3, 3, 1),
    };
    const drawn = Float64Array.of(0.5, 0.4, 0.3, 1, 0.2);
    expect([...firingRates(drawn, trees, false)]).toEqual([0.5, 0.2, 0.15, 0.5, 0.5 * 0.4 * 0.2]);
    const found = firingRates(drawn, trees, true);
    // The last sibling always fires: alone 0.42, with one other 0.46, with both 0.12.
    expect(found[3]).toBeCloseTo(0.5 * (0.42 + 0.46 / 2 + 0.12 / 3), 12);
    expect(found[1]).toBeCloseTo(0.5 * 0.4 * (0.7 / 2 + 0.3 / 3), 12);
    expect(found[4]).toBeCloseTo(found[1]! * 0.2, 12);
  });

  it("Φ and its inverse agree", () => {
    for (const p of [1e-6, 0.01, 0.3, 0.5, 0.9, 0.9999]) {
      expect(normalProbability(normalQuantile(p))).toBeCloseTo(p, 6);
    }
  });
});

describe("the benchmarks' generators", () => {
  // Dictionaries are left random: only rates matter here, and the large one takes a GPU.
  const rates = (name: "synthsaebench-16k" | "mini" | "toy") => {
    const config = { ...syntheticGenerators[name], d_in: 2, orthogonalize_steps: 0 };
    return groundTruth(syntheticConfigSchema.parse(config)).firing_rate;
  };

  it("synthsaebench-16k: mean L0 34, 25 of it from the 4,096 most frequent features", () => {
    const found = rates("synthsaebench-16k");
    expect(sum(found)).toBeGreaterThan(33.5);
    expect(sum(found)).toBeLessThan(34.5);
    expect(sum(found.subarray(0, 4_096))).toBeGreaterThan(24.5);
    expect(sum(found.subarray(0, 4_096))).toBeLessThan(25.5);
    expect(takesLong(syntheticConfigSchema.parse(syntheticGenerators["synthsaebench-16k"]))).toBe(true);
  });

  it("mini: mean L0 11.6, 8.3 of it from the 256 most frequent features, mean largest |cos| 0.33", {
    timeout: 60_000,
  }, () => {
    const found = rates("mini");
    expect(sum(found)).toBeCloseTo(11.6, 1);
    expect(sum(found.subarray(0, 256))).toBeCloseTo(8.3, 1);
    const { dictionary } = truthOf(syntheticGenerators.mini);
    expect(meanLargestCosine(dictionary, 96)).toBeCloseTo(0.33, 2);
  });

  it("toy: 16 orthonormal features, four of them a token", () => {
    expect(sum(rates("toy"))).toBeCloseTo(4, 12);
    expect(meanLargestCosine(truthOf(syntheticGenerators.toy).dictionary, 32)).toBeLessThan(1e-6);
  });
});
