import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { divergedStep } from "../../gpu/kernels/control.ts";
import { planEncode } from "../../gpu/kernels/encode.ts";
import { featureStride } from "../../gpu/kernels/feature-gradient.ts";
import { halfProductBound, toHalf } from "../reference/half.ts";
import { KernelBench, leftAlone, withCapabilities } from "./kernel-bench.ts";
import { gamma, normals, worst } from "./kernel-data.ts";

let gpu: Gpu;
let bench: KernelBench;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterEach(() => bench.close());
afterAll(() => gpu.close());

describe.each([
  { variant: "quads", subgroup_min_size: 4 },
  { variant: "flat", subgroup_min_size: 0 },
])("encode, $variant", ({ subgroup_min_size }) => {
  const open = (step: { rows: number; number?: number }) => {
    bench = new KernelBench(withCapabilities(gpu, { software: true, subgroup_min_size }), step);
  };

  const sizes = [
    { rows: 65, d_in: 37, d_sae: 129, biased: true },
    { rows: 37, d_in: 65, d_sae: 129, biased: false },
    { rows: 1, d_in: 1, d_sae: 1, biased: true },
    { rows: 65, d_in: 4, d_sae: 64, biased: false },
    { rows: 8, d_in: 130, d_sae: 67, biased: true },
  ];
  test.each(sizes.flatMap((size) => [false, true].map((half) => ({ ...size, half }))))(
    "$rows tokens of width $d_in, $d_sae features, biased: $biased, f16: $half",
    async ({ rows, d_in, d_sae, biased, half }) => {
      open({ rows });
      const [x, W] = [normals(rows * d_in, 1), normals(d_sae * d_in, 2)];
      const [x16, W16] = [x.map(toHalf), W.map(toHalf)];
      // As the trainer has it: one row of several.
      const stride = featureStride(d_sae);
      const biases = normals(2 * stride, 3);
      const b = biases.subarray(stride);
      const [z, counters] = [bench.output(rows * d_sae), bench.output(4)];
      const bias = { buffer: bench.input(biases), offset: 4 * stride, size: 4 * stride };
      bench.run(
        await planEncode(
          bench.context,
          { label: "encode", rows, d_sae, stride: Math.ceil(d_in / 4), half },
          {
            x: half ? bench.halves(x16, d_in) : bench.rows(x, d_in),
            W: half ? bench.halves(W16, d_in) : bench.rows(W, d_in),
            bias: biased ? bias : null,
            z,
            counters,
          },
        ),
      );
      const expected = new Float64Array(rows * d_sae);
      const bounds = new Float64Array(rows * d_sae);
      const rounded = new Float64Array(rows * d_sae);
      const roundedBounds = new Float64Array(rows * d_sae);
      for (let t = 0; t < rows; t++) {
        for (let f = 0; f < d_sae; f++) {
          const at = t * d_sae + f;
          const own = biased ? b[f]! : 0;
          let [products, sums] = [0, 0];
          for (let i = 0; i < d_in; i++) {
            const [a, w] = [x[t * d_in + i]!, W[f * d_in + i]!];
            expected[at]! += a * w;
            rounded[at]! += x16[t * d_in + i]! * W16[f * d_in + i]!;
            products += Math.abs(a * w);
            sums += Math.abs(a) + Math.abs(w);
          }
          expected[at]! += own;
          rounded[at]! += own;
          // f32: products are rounded once, then summed with the bias. f16: halfProductBound, the bias one more term.
          bounds[at] = half
            ? halfProductBound({ products, sums, n: d_in + 1 }) + gamma(d_in + 1) * Math.abs(own)
            : gamma(d_in + 1) * (products + Math.abs(own));
          // Of the operands as they are: f32 holds a product of two f16 numbers exactly.
          roundedBounds[at] = gamma(d_in + 1) * ((1 + 2 ** -10) ** 2 * products + Math.abs(own));
        }
      }
      const actual = await bench.f32(z, rows * d_sae);
      expect(worst(actual, expected, (i) => bounds[i]!)).toBeLessThan(1);
      if (half) expect(worst(actual, rounded, (i) => roundedBounds[i]!)).toBeLessThan(1);
      expect((await bench.u32(counters))[0]).toBe(0);
    },
  );

  test("a batch of fewer tokens leaves the rest alone, and the rest is not looked at", async () => {
    const [rows, planned, d_in, d_sae] = [13, 40, 3, 5];
    open({ rows });
    const x = normals(planned * d_in, 1);
    x.fill(Number.POSITIVE_INFINITY, rows * d_in);
    const W = normals(d_sae * d_in, 2);
    const [z, counters] = [bench.untouched(planned * d_sae), bench.output(4)];
    const shape = { label: "encode", rows: planned, d_sae, stride: 1, half: false };
    bench.run(
      await planEncode(bench.context, shape, {
        x: bench.rows(x, d_in),
        W: bench.rows(W, d_in),
        bias: null,
        z,
        counters,
      }),
    );
    const actual = await bench.f32(z, planned * d_sae);
    for (let t = 0; t < planned; t++) {
      for (let f = 0; f < d_sae; f++) {
        let sum = 0;
        for (let i = 0; i < d_in; i++) sum += x[t * d_in + i]! * W[f * d_in + i]!;
        if (t < rows) expect(actual[t * d_sae + f]).toBeCloseTo(sum, 5);
        else expect(actual[t * d_sae + f]).toBe(leftAlone);
      }
    }
    expect((await bench.u32(counters))[0]).toBe(0);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    "marks the first step with %s, at any place of a tile",
    async (bad) => {
      const [rows, d_in, d_sae] = [16, 5, 70];
      open({ rows, number: 12 });
      const shape = { label: "encode", rows, d_sae, stride: 2, half: false };
      const W = bench.rows(normals(d_sae * d_in, 2), d_in);
      for (let t = 0; t < rows; t++) {
        const x = normals(rows * d_in, 1);
        x[t * d_in + 4] = bad;
        const [z, counters] = [bench.output(rows * d_sae), bench.output(4)];
        const encode = await planEncode(bench.context, shape, {
          x: bench.rows(x, d_in),
          W,
          bias: null,
          z,
          counters,
        });
        bench.setStep({ rows, number: 12 });
        bench.run(encode);
        bench.setStep({ rows, number: 13 });
        bench.run(encode);
        expect(divergedStep((await bench.u32(counters))[0]!), `token ${t}`).toBe(12);
      }
    },
  );
});

test.each([false, true])(
  "a token's results have the same bits in a tile of 8 and of 16, f16: %s",
  async (half) => {
    const [d_in, d_sae] = [131, 70];
    bench = new KernelBench(gpu, { rows: 8 });
    const [x, W] = [normals(20 * d_in, 1).map(toHalf), normals(d_sae * d_in, 2).map(toHalf)];
    const counters = bench.output(4);
    const rowsOf = (values: ArrayLike<number>) =>
      half ? bench.halves(values, d_in) : bench.rows(values, d_in);
    const bias = { buffer: bench.rows(normals(d_sae, 3), d_sae) };
    const results: Float32Array[] = [];
    for (const rows of [8, 20]) {
      bench.setStep({ rows });
      const z = bench.output(rows * d_sae);
      bench.run(
        await planEncode(
          bench.context,
          { label: "encode", rows, d_sae, stride: Math.ceil(d_in / 4), half },
          { x: rowsOf(x.subarray(0, rows * d_in)), W: rowsOf(W), bias, z, counters },
        ),
      );
      results.push(await bench.f32(z, 8 * d_sae));
    }
    expect(results[1]).toEqual(results[0]);
  },
);
