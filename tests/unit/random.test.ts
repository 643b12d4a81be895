import { expect, test } from "vitest";
import { RandomStream } from "../../gpu/sae/random.ts";

const draw = <T>(count: number, next: () => T) => Array.from({ length: count }, next);

test("a seed names a stream", () => {
  const words = (seed: number) => {
    const random = new RandomStream(seed);
    return draw(50, () => random.u32());
  };
  expect(words(7)).toEqual(words(7));
  expect(words(8)).not.toEqual(words(7));
  expect(new Set(words(0)).size).toBe(50);
});

test("uniforms fill [0, 1) evenly", () => {
  const random = new RandomStream(1);
  const bins = new Array(10).fill(0);
  for (const u of draw(100_000, () => random.uniform())) bins[Math.floor(u * 10)]++;
  // Five standard deviations of a binomial count.
  for (const count of bins) expect(Math.abs(count - 10_000)).toBeLessThan(5 * Math.sqrt(9_000));
});

test("normals have the moments of the standard normal distribution", () => {
  const random = new RandomStream(2);
  const values = draw(100_000, () => random.normal());
  const moment = (power: number) => values.reduce((sum, x) => sum + x ** power, 0) / values.length;
  const deviations = [1, 2, 15, 96].map((variance) => 5 * Math.sqrt(variance / values.length));
  [0, 1, 0, 3].forEach((expected, i) => {
    expect(Math.abs(moment(i + 1) - expected)).toBeLessThan(deviations[i]!);
  });
});
