import { expect, test } from "vitest";
import { float32FromF16 } from "../../gpu/data/float16.ts";
import { RandomStream } from "../../gpu/sae/random.ts";
import { halfProductBound, toHalf } from "../reference/half.ts";

/** Every finite f16 from 0 up, in order. */
const numbers = [
  ...float32FromF16(new Uint8Array(Uint16Array.from({ length: 0x7c00 }, (_, bits) => bits).buffer)),
];

test("every f16 is itself, with its sign", () => {
  for (const value of numbers) {
    expect(toHalf(value)).toBe(value);
    expect(toHalf(-value)).toBe(-value);
  }
  for (const value of [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]) {
    expect(toHalf(value)).toBe(value);
  }
});

test("between two neighbours the nearer one is taken, and half-way the even one", () => {
  for (let bits = 0; bits + 1 < numbers.length; bits++) {
    const low = numbers[bits]!;
    const high = numbers[bits + 1]!;
    const middle = (low + high) / 2;
    const sliver = (high - low) * 1e-6;
    if (toHalf(middle - sliver) !== low || toHalf(-middle - sliver) !== -high)
      throw new Error(`below ${middle}`);
    if (toHalf(middle + sliver) !== high) throw new Error(`above ${middle}`);
    if (toHalf(middle) !== (bits % 2 === 0 ? low : high)) throw new Error(`at ${middle}`);
  }
});

test("overflows from 65520 on, and underflows to zero at 2^-25", () => {
  expect([65_519.99, 65_520, -65_520].map(toHalf)).toEqual([65_504, Infinity, -Infinity]);
  expect([2 ** -25, 2 ** -25 * 1.0001, 1e-300].map(toHalf)).toEqual([0, 2 ** -24, 0]);
});

test("products of rounded operands, accumulated in f32, stay within the bound, and come near it", () => {
  const random = new RandomStream(5);
  for (const scale of [1, 1e-3, 1e-5, 1e-8]) {
    let closest = 0;
    for (let trial = 0; trial < 2_000; trial++) {
      const n = 1 + (random.u32() % 4);
      let z = 0;
      let z16 = 0;
      let products = 0;
      let sums = 0;
      for (let i = 0; i < n; i++) {
        const w = random.normal() * scale;
        const x = random.normal();
        z += w * x;
        z16 = Math.fround(z16 + toHalf(w) * toHalf(x));
        products += Math.abs(w * x);
        sums += Math.abs(w) + Math.abs(x);
      }
      closest = Math.max(closest, Math.abs(z16 - z) / halfProductBound({ products, sums, n }));
    }
    expect(closest).toBeLessThanOrEqual(1);
    expect(closest).toBeGreaterThan(0.5);
  }
});
