import { expect, test } from "vitest";
import { geometricMedian } from "../../gpu/sae/normalization.ts";
import { RandomStream } from "../../gpu/sae/random.ts";

test("the geometric median of a line's points is their median", () => {
  expect(geometricMedian(Float32Array.of(1, 2, 3, 100, 1000), 1)[0]).toBeCloseTo(3, 3);
});

test("at the geometric median the unit vectors to the rows cancel, whatever the outliers", () => {
  const random = new RandomStream(3);
  const rows = Float32Array.from({ length: 200 * 4 }, (_, i) => random.normal() + (i < 80 ? 500 : 2));
  const center = geometricMedian(rows, 4);
  const pull = new Float64Array(4);
  for (let start = 0; start < rows.length; start += 4) {
    const offset = Array.from(center, (c, i) => rows[start + i]! - c);
    offset.forEach((component, i) => {
      pull[i]! += component / Math.hypot(...offset) / 200;
    });
  }
  expect(Math.hypot(...pull)).toBeLessThan(1e-3);
});

test("rows that all coincide are their own median", () => {
  expect([...geometricMedian(Float32Array.of(1, 2, 1, 2, 1, 2), 2)]).toEqual([1, 2]);
});
