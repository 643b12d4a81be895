import { describe, expect, test } from "vitest";
import { candidates, checkSampling, likeliest, sample } from "../../gpu/lm/sampling.ts";
import { RandomStream } from "../../gpu/sae/random.ts";

/** Logits of these probabilities. */
const logitsOf = (...probabilities: number[]) => Float32Array.from(probabilities, Math.log);
const logits = logitsOf(0.1, 0.4, 0.05, 0.3, 0.15);

function expectCandidates(actual: ReturnType<typeof candidates>, expected: Record<number, number>) {
  const of = new Map(Array.from(actual.ids, (id, i) => [id, actual.probabilities[i]!]));
  expect([...of.keys()].toSorted()).toEqual(Object.keys(expected).map(Number).toSorted());
  for (const [id, probability] of Object.entries(expected)) {
    expect(of.get(Number(id)), `token ${id}`).toBeCloseTo(probability, 6);
  }
}

describe("which tokens may come, and how likely", () => {
  test("without a cut all of them, by softmax", () => {
    expectCandidates(candidates(logits, {}), { 0: 0.1, 1: 0.4, 2: 0.05, 3: 0.3, 4: 0.15 });
    const [whole, shifted] = [Float32Array.of(3, 1, 0), Float32Array.of(1e6 + 3, 1e6 + 1, 1e6)];
    expect(candidates(shifted, {})).toEqual(candidates(whole, {}));
  });

  test("a temperature of a half squares probabilities, one of two takes their roots", () => {
    const squares = { 0: 0.01, 1: 0.16, 2: 0.0025, 3: 0.09, 4: 0.0225 };
    const total = 0.285;
    expectCandidates(
      candidates(logits, { temperature: 0.5 }),
      Object.fromEntries(Object.entries(squares).map(([id, square]) => [id, square / total])),
    );
    const roots = [0.1, 0.4, 0.05, 0.3, 0.15].map(Math.sqrt);
    const sum = roots.reduce((a, b) => a + b, 0);
    expectCandidates(
      candidates(logits, { temperature: 2 }),
      Object.fromEntries(roots.map((root, id) => [id, root / sum])),
    );
  });

  test("top_k leaves the k likeliest, of equal ones those that come first", () => {
    expectCandidates(candidates(logits, { top_k: 2 }), { 1: 4 / 7, 3: 3 / 7 });
    expectCandidates(candidates(logits, { top_k: 1 }), { 1: 1 });
    expect(candidates(logits, { top_k: 100 }).ids).toHaveLength(5);
    expectCandidates(candidates(logitsOf(0.2, 0.3, 0.3, 0.2), { top_k: 3 }), { 0: 0.25, 1: 0.375, 2: 0.375 });
  });

  test("top_p leaves the fewest that reach it together, the one that reaches it included", () => {
    expectCandidates(candidates(logits, { top_p: 0.39 }), { 1: 1 });
    expectCandidates(candidates(logits, { top_p: 0.41 }), { 1: 4 / 7, 3: 3 / 7 });
    expectCandidates(candidates(logits, { top_p: 0.71 }), { 1: 0.4 / 0.85, 3: 0.3 / 0.85, 4: 0.15 / 0.85 });
    expect(candidates(logits, { top_p: 1 }).ids).toHaveLength(5);
    expectCandidates(candidates(logits, { top_p: 1e-9 }), { 1: 1 });
  });

  test("the temperature counts before top_p, and top_p is a share of what top_k leaves", () => {
    // At a half, the likeliest has 0.16 / 0.285 = 0.56.
    expectCandidates(candidates(logits, { temperature: 0.5, top_p: 0.5 }), { 1: 1 });
    expect(candidates(logits, { top_p: 0.5 }).ids).toHaveLength(2);
    // Of three tokens with 0.85 together, the likeliest has 0.47.
    expectCandidates(candidates(logits, { top_k: 3, top_p: 0.45 }), { 1: 1 });
    expect(candidates(logits, { top_k: 5, top_p: 0.45 }).ids).toHaveLength(2);
  });

  test("logits far apart make no infinity", () => {
    const far = Float32Array.of(-3e38, 3e38, 0);
    expectCandidates(candidates(far, { temperature: 1e-6 }), { 0: 0, 1: 1, 2: 0 });
  });
});

describe("drawing", () => {
  test("no temperature takes the likeliest, the first of equal ones, and draws nothing", () => {
    const random = new RandomStream(1);
    expect(sample(logitsOf(0.2, 0.3, 0.3, 0.2), { temperature: 0 }, random)).toBe(1);
    expect(random.u32()).toBe(new RandomStream(1).u32());
    expect(likeliest(Float32Array.of(-5))).toBe(0);
  });

  test.each([
    {},
    { temperature: 0.7 },
    { top_k: 3 },
    { top_p: 0.8 },
    { temperature: 1.5, top_k: 4, top_p: 0.9 },
  ])("tokens come as often as they should: %o", (options) => {
    const random = new RandomStream(9);
    const draws = 20_000;
    const counts = new Map<number, number>();
    for (let i = 0; i < draws; i++) {
      const id = sample(logits, options, random);
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    const { ids, probabilities } = candidates(logits, options);
    expect([...counts.keys()].every((id) => ids.includes(id))).toBe(true);
    ids.forEach((id, i) => {
      const p = probabilities[i]!;
      // Five standard deviations.
      const bound = 5 * Math.sqrt((p * (1 - p)) / draws) + 1e-9;
      expect(Math.abs((counts.get(id) ?? 0) / draws - p), `token ${id}`).toBeLessThan(bound);
    });
  });

  test("a token without a chance never comes, not even at the ends of what is drawn", () => {
    const ends = [0, 1 - 2 ** -32].map((value) => ({ uniform: () => value }) as RandomStream);
    const far = Float32Array.of(-1e4, 0, 0, -1e4);
    expect(ends.map((random) => sample(far, {}, random))).toEqual([1, 2]);
  });
});

test("options that make no sense are refused", () => {
  for (const temperature of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => checkSampling({ temperature })).toThrow(RangeError);
  }
  for (const top_k of [0, -1, 1.5]) expect(() => checkSampling({ top_k })).toThrow(RangeError);
  for (const top_p of [0, -0.1, 1.1, Number.NaN]) expect(() => checkSampling({ top_p })).toThrow(RangeError);
  expect(() => checkSampling({ temperature: 0, top_k: 1, top_p: 1 })).not.toThrow();
});
