import { describe, expect, it } from "vitest";
import { normals, pcg4d } from "../../gpu/data/random.ts";
import { assign } from "../../gpu/metrics/assignment.ts";
import { absoluteCosines, bestMatches, mcc, uniqueness } from "../../gpu/metrics/matching.ts";
import { RecoveryTotals } from "../../gpu/metrics/recovery.ts";

/** Largest total weight over all one-to-one assignments, by trying them all. */
function bruteForce(weights: Float32Array, rows: number, columns: number): number {
  const taken = new Set<number>();
  const best = (row: number): number => {
    if (row === rows) return 0;
    let most = Number.NEGATIVE_INFINITY;
    for (let column = 0; column < columns; column++) {
      if (taken.has(column)) continue;
      taken.add(column);
      most = Math.max(most, weights[row * columns + column]! + best(row + 1));
      taken.delete(column);
    }
    return most;
  };
  return best(0);
}

describe("optimal assignment", () => {
  it("equals brute force on small cases, ties and negative weights included", async () => {
    const words = new Uint32Array(4);
    for (let trial = 0; trial < 400; trial++) {
      pcg4d(words, trial, 0, 0, 1);
      const rows = 1 + (words[0]! % 5);
      const columns = rows + (words[1]! % 3);
      const coarse = words[2]! % 2 === 0;
      const weights = Float32Array.from(normals(rows * columns, trial, 9), (value) =>
        coarse ? Math.round(value) : value,
      );
      const columnOf = await assign(weights, rows, columns);
      expect(new Set(columnOf).size).toBe(rows);
      const total = columnOf.reduce((sum, column, row) => sum + weights[row * columns + column]!, 0);
      expect(total).toBeCloseTo(bruteForce(weights, rows, columns), 5);
    }
  });

  it("finds a hidden permutation among 400", async () => {
    const n = 400;
    const permutation = Uint32Array.from({ length: n }, (_, row) => (row * 7 + 3) % n);
    const weights = Float32Array.from(normals(n * n, 5, 9), (value) => value * 0.1);
    for (let row = 0; row < n; row++) weights[row * n + permutation[row]!]! += 2;
    expect(await assign(weights, n, n)).toEqual(permutation);
  });

  it("is optimal where all rows want the same columns", async () => {
    // Row r values column c at a_r · b_c, so that large a belong with large b (the rearrangement inequality). All rank
    // the columns alike, so what is at hand runs out for every row.
    const [rows, columns] = [120, 300];
    const b = Float64Array.from(normals(columns, 3, 9), Math.abs);
    const weights = Float32Array.from(
      { length: rows * columns },
      (_, at) => (1 + Math.floor(at / columns) / rows) * b[at % columns]!,
    );
    const columnOf = await assign(weights, rows, columns);
    expect(new Set(columnOf).size).toBe(rows);
    const total = columnOf.reduce((sum, column, row) => sum + weights[row * columns + column]!, 0);
    const largest = [...b].sort((one, other) => other - one).slice(0, rows);
    const best = largest.reduce((sum, value, place) => sum + (1 + (rows - 1 - place) / rows) * value, 0);
    expect(total).toBeCloseTo(best, 3);
  });

  it("takes 1,024 rows and 4,096 columns in seconds", { timeout: 30_000 }, async () => {
    const weights = Float32Array.from(normals(1_024 * 4_096, 6, 9), Math.abs);
    expect(new Set(await assign(weights, 1_024, 4_096)).size).toBe(1_024);
  });

  it("refuses more rows than columns", async () => {
    await expect(assign(new Float32Array(2), 2, 1)).rejects.toThrow(RangeError);
  });
});

describe("recovery of true features", () => {
  const d = 3;
  const features = new Float32Array([1, 0, 0, 0, 1, 0, 0, 0, 1, 0.6, 0.8, 0]);

  it("is 1 for the true features in any order, sign and length", async () => {
    const latents = new Float32Array([0, 0, -4, 3, 4, 0, 0.5, 0, 0, 0, 2, 0]);
    const cosines = await absoluteCosines(latents, features, d);
    expect(await mcc(cosines, 4, 4)).toBeCloseTo(1, 6);
    const match = bestMatches(cosines, 4);
    expect([...match]).toEqual([2, 3, 0, 1]);
    expect(uniqueness(match)).toBe(1);
  });

  it("matches each feature once for MCC, but counts copies against uniqueness", async () => {
    const copies = new Float32Array([1, 0, 0, 1, 0, 0]);
    const cosines = await absoluteCosines(copies, features, d);
    // One copy has feature 0 (cosine 1), the other the next best, feature 3 (0.6).
    expect(await mcc(cosines, 2, 4)).toBeCloseTo(0.8, 6);
    expect(uniqueness(bestMatches(cosines, 4))).toBe(0.5);
  });

  it("takes min(latents, features) pairs whichever side is larger, and a zero row as unrelated", async () => {
    const many = new Float32Array([0, 0, 0, 1, 0, 0, 0, 1, 0]);
    const one = new Float32Array([1, 0, 0]);
    expect(await mcc(await absoluteCosines(many, one, d), 3, 1)).toBeCloseTo(1, 6);
    expect(await mcc(await absoluteCosines(one, many, d), 1, 3)).toBeCloseTo(1, 6);
    expect([...(await absoluteCosines(many, one, d))]).toEqual([0, 1, 0]);
  });

  it("has cosines of every pair, more rows than are taken together", async () => {
    const [rows, columns, width] = [70, 9, 5];
    const a = Float32Array.from(normals(rows * width, 1, 9));
    const b = Float32Array.from(normals(columns * width, 2, 9));
    const cosines = await absoluteCosines(a, b, width);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        let [dot, aa, bb] = [0, 0, 0];
        for (let k = 0; k < width; k++) {
          const [u, v] = [a[i * width + k]!, b[j * width + k]!];
          dot += u * v;
          aa += u * u;
          bb += v * v;
        }
        expect(cosines[i * columns + j]).toBeCloseTo(Math.abs(dot) / Math.sqrt(aa * bb), 6);
      }
    }
  });

  const tokens: { latents: number[]; truth: number[] }[] = [
    { latents: [0.5, 0, 0], truth: [1, 0] },
    { latents: [0.5, 2, 0], truth: [0, 3] },
    { latents: [0, 2, 0], truth: [1, 0] },
    { latents: [0.1, 0, 0], truth: [2, 1] },
  ];

  it("scores firing per latent and averages over latents, the dead ones included", () => {
    const totals = new RecoveryTotals(new Uint32Array([0, 1, 0]), 1, 2);
    for (const { latents, truth } of tokens) totals.add([1], [1], latents, truth);
    // Latent 0: 2 of 3 firings right, 2 of 3 firings found. Latent 1: 1 of 2, 1 of 2. Latent 2: dead.
    const scores = totals.result();
    expect(scores.precision).toBeCloseTo((2 / 3 + 1 / 2) / 3, 12);
    expect(scores.recall).toBeCloseTo((2 / 3 + 1 / 2) / 3, 12);
    expect(scores.f1).toBeCloseTo((2 / 3 + 1 / 2) / 3, 12);
    expect(scores.dead_fraction).toBeCloseTo(1 / 3, 12);
    expect(scores).toMatchObject({ l0: 5 / 4, true_l0: 5 / 4, tokens: 4 });
  });

  it("precision and recall are not each other: a latent that always fires finds all and is mostly wrong", () => {
    const totals = new RecoveryTotals(new Uint32Array([0]), 1, 1);
    for (const truth of [1, 0, 0, 0]) totals.add([1], [1], [1], [truth]);
    expect(totals.result()).toMatchObject({ precision: 1 / 4, recall: 1, f1: 0.4 });
  });

  it("explained variance is about the mean of x, shrinkage the mean ratio of norms", () => {
    const totals = new RecoveryTotals(new Uint32Array([0]), 2, 1);
    const xs = [
      [13, 4],
      [7, 4],
      [0, 0],
      [20, -8],
    ];
    for (const x of xs)
      totals.add(
        x,
        x.map((value) => 0.9 * value),
        [1],
        [1],
      );
    const mean = [10, 0];
    const variance = xs.reduce((sum, x) => sum + (x[0]! - mean[0]!) ** 2 + (x[1]! - mean[1]!) ** 2, 0);
    const error = xs.reduce((sum, x) => sum + 0.01 * (x[0]! ** 2 + x[1]! ** 2), 0);
    const scores = totals.result();
    expect(scores.explained_variance).toBeCloseTo(1 - error / variance, 12);
    // The token at zero has no ratio.
    expect(scores.shrinkage).toBeCloseTo(0.9, 12);
  });
});
