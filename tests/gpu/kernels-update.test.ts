import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { planAdam } from "../../gpu/kernels/adam.ts";
import { KernelBench, leftAlone } from "./kernel-bench.ts";
import { division, gamma, normals, packControl, squareRoot, worst } from "./kernel-data.ts";

let gpu: Gpu;
let bench: KernelBench;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterEach(() => bench.close());
afterAll(() => gpu.close());

interface Case {
  rows: number;
  columns: number;
  unit_rows?: boolean;
  nonnegative?: boolean;
  ema_decay?: number | null;
  half?: boolean;
}

describe("adam", () => {
  test.each<Case>([
    { rows: 129, columns: 65 },
    { rows: 129, columns: 65, unit_rows: true },
    { rows: 1, columns: 3, unit_rows: true, ema_decay: 0.9 },
    { rows: 1, columns: 5, ema_decay: 0.999 },
    { rows: 65, columns: 37, nonnegative: true },
    { rows: 65, columns: 37, half: true },
    { rows: 65, columns: 37, half: true, unit_rows: true, ema_decay: 0.9 },
    { rows: 65, columns: 37, nonnegative: true, ema_decay: 0.5 },
  ])("is torch's, and keeps what follows it: %o", async (given) => {
    const { rows, columns, unit_rows = false, nonnegative = false, ema_decay = null, half = false } = given;
    const [beta1, beta2, epsilon, t, lr, clip] = [0.9, 0.999, 1e-8, 7, 1e-2, 0.3];
    const [correction1, correction2] = [1 - beta1 ** t, 1 - beta2 ** t];
    bench = new KernelBench(gpu, { step_size: lr / correction1, second_moment_scale: correction2 ** -0.5 });
    const stride = Math.ceil(columns / 4);
    const count = rows * columns;
    const [p, g, m] = [normals(count, 1), normals(count, 2), normals(count, 3)];
    const v = normals(count, 4).map((value) => value ** 2);
    const mean = normals(count, 5);
    if (nonnegative) {
      p.forEach((value, i) => {
        p[i] = Math.abs(value) / 100;
      });
    }
    // A parameter whose gradients were all zero stays where it is; the last row is one of zeros.
    const still = (i: number) => i === 0 || (rows > 1 && i >= (rows - 1) * columns);
    for (let i = 0; i < count; i++) if (still(i)) g[i] = m[i] = v[i] = 0;
    if (rows > 1) p.fill(0, (rows - 1) * columns);
    // Rows after the tensor's own are somebody else's.
    const guarded = (values: Float32Array) =>
      bench.rows([...values, ...new Array(columns).fill(leftAlone)], columns);
    const [parameters, first, second, means] = [guarded(p), guarded(m), guarded(v), guarded(mean)];
    const halves = bench.output(2 * rows * stride);
    bench.run(
      await planAdam(
        bench.context,
        {
          tensor: "test",
          count: rows * stride,
          stride,
          beta1,
          beta2,
          epsilon,
          unit_rows,
          nonnegative,
          ema_decay,
        },
        {
          parameters: { buffer: parameters },
          gradients: { buffer: bench.rows(g, columns) },
          first_moments: { buffer: first },
          second_moments: { buffer: second },
          means: { buffer: means },
          halves: half ? halves : null,
          control: bench.input(packControl(1, { clip })),
        },
      ),
    );

    const next = { m: new Float64Array(count), v: new Float64Array(count), p: new Float64Array(count) };
    const bounds = { m: new Float64Array(count), v: new Float64Array(count), p: new Float64Array(count) };
    for (let i = 0; i < count; i++) {
      const slope = clip * g[i]!;
      next.m[i] = beta1 * m[i]! + (1 - beta1) * slope;
      next.v[i] = beta2 * v[i]! + (1 - beta2) * slope ** 2;
      const denominator = Math.sqrt(next.v[i]! / correction2) + epsilon;
      next.p[i] = p[i]! - (lr * (next.m[i]! / correction1)) / denominator;
      // Constants are rounded too. m: the clip, two constants, two products, a sum; v: the slope twice.
      const size = beta1 * Math.abs(m[i]!) + (1 - beta1) * Math.abs(slope);
      bounds.m[i] = gamma(5) * size;
      bounds.v[i] = gamma(7) * next.v[i]!;
      // The step: m, and relative to it a root, a quotient and three products with constants; then it is subtracted.
      const step = (lr * size) / correction1 / denominator;
      bounds.p[i] = gamma(5 + 7 + squareRoot + division + 8) * step + gamma(1) * (Math.abs(p[i]!) + step);
      if (nonnegative) next.p[i] = Math.max(next.p[i]!, 0);
    }
    if (unit_rows) {
      for (let start = 0; start < count; start += columns) {
        const row = next.p.subarray(start, start + columns);
        const off = Math.hypot(...bounds.p.subarray(start, start + columns));
        const norm = Math.hypot(...row);
        if (norm === 0) continue;
        // The norm is off by what its row is, and by what summing it and dividing by it costs.
        const relative = off / norm + gamma(columns + squareRoot + division + 2);
        for (let i = 0; i < columns; i++) {
          row[i]! /= norm;
          bounds.p[start + i] = (bounds.p[start + i]! / norm + relative * Math.abs(row[i]!)) * (1 + relative);
        }
      }
    }
    const actual = await bench.readRows(parameters, rows + 1, columns);
    expect(worst(actual, next.p, (i) => bounds.p[i]!)).toBeLessThanOrEqual(1);
    expect(
      worst(await bench.readRows(first, rows + 1, columns), next.m, (i) => bounds.m[i]!),
    ).toBeLessThanOrEqual(1);
    expect(
      worst(await bench.readRows(second, rows + 1, columns), next.v, (i) => bounds.v[i]!),
    ).toBeLessThanOrEqual(1);
    expect([...actual.subarray(count)]).toEqual(new Array(columns).fill(leftAlone));
    if (rows > 1) expect(actual.subarray(count - columns, count).every((value) => value === 0)).toBe(true);
    if (nonnegative) {
      // Some would have fallen below.
      expect([...actual.subarray(0, count)].filter((value) => value === 0).length).toBeGreaterThan(columns);
    }
    const averaged = await bench.readRows(means, rows, columns);
    if (ema_decay === null) expect(averaged).toEqual(mean);
    else {
      const expected = Float64Array.from(
        mean,
        (value, i) => ema_decay * value + (1 - ema_decay) * next.p[i]!,
      );
      // 1 − decay is taken of the rounded decay: off by 2^-24 of decay, however small it is itself.
      const bound = (i: number) =>
        2 ** -24 * (Math.abs(mean[i]!) + Math.abs(next.p[i]!)) +
        gamma(4) * (Math.abs(mean[i]!) + Math.abs(next.p[i]!)) +
        (1 - ema_decay) * bounds.p[i]!;
      expect(worst(averaged, expected, bound)).toBeLessThanOrEqual(1);
    }
    if (half) {
      const copied = await bench.readHalves(halves, rows, columns);
      // Either neighbour in f16.
      const bound = (i: number) => 2 ** -10 * Math.abs(actual[i]!) + 2 ** -24;
      expect(worst(copied, actual.subarray(0, count), bound)).toBeLessThanOrEqual(1);
    }
  });

  test("without a clip the whole gradient counts, and a slice of a buffer is a tensor", async () => {
    const features = 64;
    bench = new KernelBench(gpu, { step_size: 0.5, second_moment_scale: 1 });
    const own = (values: Float32Array<ArrayBuffer>): GPUBufferBinding => ({
      buffer: bench.input(Float32Array.of(...new Array(features).fill(leftAlone), ...values)),
      offset: 4 * features,
      size: 4 * features,
    });
    const zeros = new Float32Array(features);
    const [parameters, gradients] = [own(zeros), own(zeros.map((_, i) => (i % 2 === 0 ? 3 : -3)))];
    bench.run(
      await planAdam(
        bench.context,
        {
          tensor: "b_enc",
          count: features / 4,
          stride: 99,
          beta1: 0,
          beta2: 0,
          epsilon: 1,
          unit_rows: false,
          nonnegative: false,
          ema_decay: null,
        },
        {
          parameters,
          gradients,
          first_moments: own(zeros),
          second_moments: own(zeros),
          means: own(zeros),
          halves: null,
          control: bench.input(packControl(1, { clip: 1 })),
        },
      ),
    );
    const actual = [...(await bench.f32(parameters.buffer))];
    // 0.5 · 3 / (√9 + 1)
    const expected = Array.from({ length: features }, (_, i) => (i % 2 === 0 ? -0.375 : 0.375));
    expect(actual).toEqual([...new Array(features).fill(leftAlone), ...expected]);
  });
});
