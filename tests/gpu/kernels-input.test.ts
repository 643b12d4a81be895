import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { planHalve } from "../../gpu/kernels/halve.ts";
import { planPrepare } from "../../gpu/kernels/prepare.ts";
import { planRowNorms } from "../../gpu/kernels/row-norms.ts";
import { planTokenNorms } from "../../gpu/kernels/token-norms.ts";
import { KernelBench, leftAlone } from "./kernel-bench.ts";
import { division, gamma, normals, squareRoot, worst } from "./kernel-data.ts";

let gpu: Gpu;
let bench: KernelBench;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterEach(() => bench.close());
afterAll(() => gpu.close());

/** WGSL lets an adapter take either neighbour in f16: 2^-10 of a normal number, 2^-24 below 2^-14. */
const halfBound = (value: number) => 2 ** -10 * Math.abs(value) + 2 ** -24;

describe("prepare", () => {
  test.each([
    { rows: 37, raw_width: 65, first: 0, width: 65, points: 1, subtract: true },
    { rows: 33, raw_width: 48, first: 11, width: 37, points: 1, subtract: false },
    { rows: 5, raw_width: 18, first: 0, width: 6, points: 3, subtract: true },
    { rows: 1, raw_width: 1, first: 0, width: 1, points: 1, subtract: true },
  ])(
    "$rows rows of $raw_width, $points × $width columns from column $first, subtracting b_dec: $subtract",
    async ({ rows, raw_width, first, width, points, subtract }) => {
      // The last token is not part of the batch.
      bench = new KernelBench(gpu, { rows: Math.max(1, rows - 1) });
      const batch = Math.max(1, rows - 1);
      const columns = points * width;
      const stride = Math.ceil(width / 4);
      const [raw, mean, b_dec] = [normals(rows * raw_width, 1), normals(columns, 2), normals(columns, 3)];
      const scale = Float32Array.from({ length: points }, (_, m) => 1.5 + m);
      const x = bench.untouched(4 * rows * points * stride);
      const halves = bench.output(2 * rows * points * stride);
      const shape = { label: "input", rows, raw_width, first, width, stride, points };
      bench.run(
        await planPrepare(bench.context, shape, {
          raw: bench.input(raw),
          x,
          normalization: { columns: bench.input(Float32Array.of(...scale, ...mean)) },
          b_dec: subtract ? bench.rows(b_dec, width) : null,
          halves,
        }),
      );
      const expected = new Float64Array(batch * columns);
      const size = new Float64Array(batch * columns);
      for (let i = 0; i < expected.length; i++) {
        const [t, c] = [Math.floor(i / columns), i % columns];
        const value = raw[t * raw_width + first + c]!;
        const s = scale[Math.floor(c / width)]!;
        const bias = subtract ? b_dec[c]! : 0;
        expected[i] = s * (value - mean[c]!) - bias;
        size[i] = s * (Math.abs(value) + Math.abs(mean[c]!)) + Math.abs(bias);
      }
      // Two subtractions and a product.
      const actual = await bench.readRows(x, batch * points, width);
      expect(worst(actual, expected, (i) => gamma(3) * size[i]!)).toBeLessThan(1);
      expect(
        worst(await bench.readHalves(halves, batch * points, width), actual, (i) => halfBound(actual[i]!)),
      ).toBeLessThanOrEqual(1);
      if (batch < rows) {
        const beyond = (await bench.f32(x)).subarray(4 * batch * points * stride);
        expect(beyond.every((value) => value === leftAlone)).toBe(true);
      }
    },
  );

  test("by token, without f16 copy", async () => {
    const [rows, width, stride] = [37, 10, 3];
    bench = new KernelBench(gpu, { rows });
    const [raw, b_dec] = [normals(rows * width, 1), normals(width, 2)];
    const tokens = normals(2 * rows, 3);
    const x = bench.output(4 * rows * stride);
    const shape = { label: "input", rows, raw_width: width, first: 0, width, stride, points: 1 };
    bench.run(
      await planPrepare(bench.context, shape, {
        raw: bench.input(raw),
        x,
        normalization: { tokens: bench.input(tokens) },
        b_dec: bench.rows(b_dec, width),
        halves: null,
      }),
    );
    const of = (i: number, sign: number, abs: (v: number) => number) => {
      const [shift, factor] = [
        abs(tokens[2 * Math.floor(i / width)]!),
        tokens[2 * Math.floor(i / width) + 1]!,
      ];
      return (abs(raw[i]!) + sign * shift) * abs(factor) + sign * abs(b_dec[i % width]!);
    };
    const expected = Float64Array.from(raw, (_, i) => of(i, -1, (v) => v));
    expect(
      worst(await bench.readRows(x, rows, width), expected, (i) => gamma(3) * of(i, 1, Math.abs)),
    ).toBeLessThan(1);
  });
});

describe("token_norms", () => {
  const widths = [37, 64, 2];

  /** Off-centre tokens, the second so small that the 1e-5 counts; then one of zeros, and one without deviation. */
  function tokens(rows: number, width: number): Float32Array<ArrayBuffer> {
    const raw = normals(rows * width, 1).map((value, i) => (1 + Math.floor(i / width)) * value + 3);
    raw.set(
      normals(width, 2).map((value) => 1e-4 * value),
      width,
    );
    raw.fill(0, (rows - 2) * width, (rows - 1) * width);
    raw.fill(2, (rows - 1) * width);
    return raw;
  }

  test.each(widths)("constant_norm_rescale, %i columns", async (width) => {
    const rows = 65;
    bench = new KernelBench(gpu, { rows });
    const raw = tokens(rows, width);
    const norms = bench.untouched(2 * rows);
    const shape = { rows, width, method: "constant_norm_rescale" } as const;
    bench.run(await planTokenNorms(bench.context, shape, { raw: bench.input(raw), norms }));
    const actual = await bench.f32(norms, 2 * rows);
    for (let t = 0; t < rows; t++) {
      const square = raw.subarray(t * width, (t + 1) * width).reduce((sum, value) => sum + value ** 2, 0);
      expect(actual[2 * t]).toBe(0);
      const expected = square === 0 ? 0 : Math.sqrt(width / square);
      // Only positive terms: relative errors stay relative errors.
      const bound = gamma(width + division + squareRoot) * expected;
      expect(Math.abs(actual[2 * t + 1]! - expected), `token ${t}`).toBeLessThanOrEqual(bound);
    }
  });

  test.each(widths)("layer_norm, %i columns", async (width) => {
    const rows = 65;
    bench = new KernelBench(gpu, { rows });
    const raw = tokens(rows, width);
    const norms = bench.untouched(2 * rows);
    const shape = { rows, width, method: "layer_norm" } as const;
    bench.run(await planTokenNorms(bench.context, shape, { raw: bench.input(raw), norms }));
    const actual = await bench.f32(norms, 2 * rows);
    for (let t = 0; t < rows - 1; t++) {
      const row = raw.subarray(t * width, (t + 1) * width);
      const mean = row.reduce((sum, value) => sum + value, 0) / width;
      const meanSize = row.reduce((sum, value) => sum + Math.abs(value), 0) / width;
      expect(Math.abs(actual[2 * t]! - mean), `token ${t}`).toBeLessThanOrEqual(
        gamma(width + division) * meanSize,
      );
      const length = Math.hypot(...row.map((value) => value - mean));
      const expected = length === 0 ? 0 : 1 / (length / Math.sqrt(width - 1) + 1e-5);
      // Each deviation is off by the mean's error and one rounding; their norm by no more than the norm of these.
      const offset = Math.sqrt(width) * (gamma(width + division) * meanSize) + gamma(1) * length;
      const relative = length === 0 ? 0 : offset / length + gamma(width + 2 * division + squareRoot + 4);
      expect(Math.abs(actual[2 * t + 1]! - expected), `token ${t}`).toBeLessThanOrEqual(relative * expected);
    }
    // Without deviation: what is left of the mean's rounding must not be blown up to the size of other tokens.
    const last = actual.subarray(2 * (rows - 1));
    expect(Math.abs((2 - last[0]!) * last[1]!)).toBeLessThan(0.1);
  });
});

test.each([1, 63, 257])("halve, %i vec4f", async (count) => {
  bench = new KernelBench(gpu);
  const values = normals(4 * count, 1);
  values.set([65_504, -(2 ** -14), 2 ** -20]);
  const halves = bench.output(2 * count);
  bench.run(await planHalve(bench.context, { count, tensor: "W" }, { tensor: bench.input(values), halves }));
  const actual = await bench.readHalves(halves, 1, 4 * count);
  expect(worst(actual, values, (i) => halfBound(values[i]!))).toBeLessThanOrEqual(1);
});

test.each([
  [129, 37, 1],
  [7, 6, 3],
  [1, 1, 1],
])("row_norms of %i rows of width %i, %i hook points", async (d_sae, width, points) => {
  bench = new KernelBench(gpu);
  const W = normals(d_sae * points * width, 1);
  W.fill(0, 0, points * width);
  const norms = bench.untouched(d_sae);
  const shape = { d_sae, stride: Math.ceil(width / 4), points };
  bench.run(await planRowNorms(bench.context, shape, { W_dec: bench.rows(W, width), norms }));
  const expected = Float64Array.from({ length: d_sae }, (_, f) => {
    let sum = 0;
    for (let m = f * points; m < (f + 1) * points; m++) {
      sum += Math.hypot(...W.subarray(m * width, (m + 1) * width));
    }
    return sum;
  });
  expect(expected[0]).toBe(0);
  // Only positive terms: relative errors stay relative errors.
  const bound = gamma(width + squareRoot + points);
  expect(worst(await bench.f32(norms, d_sae), expected, (f) => bound * expected[f]!)).toBeLessThanOrEqual(1);
});
