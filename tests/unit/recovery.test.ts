import { describe, expect, it } from "vitest";
import { normals, pcg4d } from "../../gpu/data/random.ts";
import { assign } from "../../gpu/metrics/assignment.ts";
import {
  absoluteCosines,
  bestMatches,
  countFirings,
  emptyFiringCounts,
  firingScores,
  mcc,
  uniqueness,
} from "../../gpu/metrics/recovery.ts";

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
  it("equals brute force on small cases, ties and negative weights included", () => {
    const words = new Uint32Array(4);
    for (let trial = 0; trial < 400; trial++) {
      pcg4d(words, trial, 0, 0, 1);
      const rows = 1 + (words[0]! % 5);
      const columns = rows + (words[1]! % 3);
      const coarse = words[2]! % 2 === 0;
      const weights = Float32Array.from(normals(rows * columns, trial, 9), (value) =>
        coarse ? Math.round(value) : value,
      );
      const columnOf = assign(weights, rows, columns);
      expect(new Set(columnOf).size).toBe(rows);
      const total = columnOf.reduce((sum, column, row) => sum + weights[row * columns + column]!, 0);
      expect(total).toBeCloseTo(bruteForce(weights, rows, columns), 5);
    }
  });

  it("finds a hidden permutation among 400", () => {
    const n = 400;
    const permutation = Uint32Array.from({ length: n }, (_, row) => (row * 7 + 3) % n);
    const weights = Float32Array.from(normals(n * n, 5, 9), (value) => value * 0.1);
    for (let row = 0; row < n; row++) weights[row * n + permutation[row]!]! += 2;
    expect(assign(weights, n, n)).toEqual(permutation);
  });

  it("refuses more rows than columns", () => {
    expect(() => assign(new Float32Array(2), 2, 1)).toThrow(RangeError);
  });
});

describe("recovery of true features", () => {
  const d = 3;
  const features = new Float32Array([1, 0, 0, 0, 1, 0, 0, 0, 1, 0.6, 0.8, 0]);

  it("is 1 for the true features in any order, sign and length", () => {
    const latents = new Float32Array([0, 0, -4, 3, 4, 0, 0.5, 0, 0, 0, 2, 0]);
    const cosines = absoluteCosines(latents, features, d);
    expect(mcc(cosines, 4, 4)).toBeCloseTo(1, 6);
    const match = bestMatches(cosines, 4);
    expect([...match]).toEqual([2, 3, 0, 1]);
    expect(uniqueness(match)).toBe(1);
  });

  it("matches each feature once for MCC, but counts copies against uniqueness", () => {
    const copies = new Float32Array([1, 0, 0, 1, 0, 0]);
    const cosines = absoluteCosines(copies, features, d);
    // One copy has feature 0 (cosine 1), the other the next best, feature 3 (0.6).
    expect(mcc(cosines, 2, 4)).toBeCloseTo(0.8, 6);
    expect(uniqueness(bestMatches(cosines, 4))).toBe(0.5);
  });

  it("takes min(latents, features) pairs whichever side is larger, and a zero row as unrelated", () => {
    const many = new Float32Array([0, 0, 0, 1, 0, 0, 0, 1, 0]);
    const one = new Float32Array([1, 0, 0]);
    expect(mcc(absoluteCosines(many, one, d), 3, 1)).toBeCloseTo(1, 6);
    expect(mcc(absoluteCosines(one, many, d), 1, 3)).toBeCloseTo(1, 6);
    expect([...absoluteCosines(many, one, d)]).toEqual([0, 1, 0]);
  });

  it("scores firing per latent and averages over latents, the dead ones included", () => {
    const counts = emptyFiringCounts(new Uint32Array([0, 1, 0]));
    const tokens: [number[], number[]][] = [
      [
        [0.5, 0, 0],
        [1, 0],
      ],
      [
        [0.5, 2, 0],
        [0, 3],
      ],
      [
        [0, 2, 0],
        [1, 0],
      ],
      [
        [0.1, 0, 0],
        [2, 1],
      ],
    ];
    for (const [latents, truth] of tokens) countFirings(counts, latents, truth);
    // Latent 0: 2 of 3 firings right, 2 of 3 firings found. Latent 1: 1 of 2, 1 of 2. Latent 2: dead.
    const scores = firingScores(counts);
    expect(scores.precision).toBeCloseTo((2 / 3 + 1 / 2) / 3, 12);
    expect(scores.recall).toBeCloseTo((2 / 3 + 1 / 2) / 3, 12);
    expect(scores.f1).toBeCloseTo((2 / 3 + 1 / 2) / 3, 12);
  });
});
