import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { blocksOf, planColumnSum } from "../../gpu/kernels/column-sum.ts";
import { divergedStep } from "../../gpu/kernels/control.ts";
import { planGradientNorm } from "../../gpu/kernels/gradient-norm.ts";
import { planSkipGradient } from "../../gpu/kernels/skip-gradient.ts";
import { planTokenLoss } from "../../gpu/kernels/token-loss.ts";
import { toHalf } from "../reference/half.ts";
import { KernelBench, leftAlone } from "./kernel-bench.ts";
import {
  division,
  gamma,
  normals,
  packControl,
  range,
  squareRoot,
  unpackControl,
  worst,
} from "./kernel-data.ts";

let gpu: Gpu;
let bench: KernelBench;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterEach(() => bench.close());
afterAll(() => gpu.close());

describe("column_sum", () => {
  test.each([
    // Rows planned, rows of the batch.
    [129, 129, 37],
    [200, 70, 65],
    [1, 1, 1],
    [9000, 8999, 5],
  ])("of %i rows, %i of them in the batch, width %i; and of weighted rows", async (rows, batch, columns) => {
    bench = new KernelBench(gpu, { rows: batch });
    const stride = Math.ceil(columns / 4);
    const [matrix, weights] = [normals(rows * columns, 1), normals(rows, 2)];
    const { blocks, rows_per_block } = blocksOf(rows);
    expect(blocks).toBeLessThanOrEqual(128);
    // Bound at an offset, as a region of errors or a row of numbers is.
    const offset = 64;
    const values = bench.rows([...new Array(offset * columns).fill(9), ...matrix], columns);
    const from = { buffer: values, offset: 16 * offset * stride, size: 16 * rows * stride };
    for (const weighted of [false, true]) {
      const sums = bench.untouched(blocks * 4 * stride);
      bench.run(
        await planColumnSum(
          bench.context,
          { label: "test", rows, stride },
          { matrix: from, sums, rows: weighted ? { weights: { buffer: bench.input(weights) } } : "batch" },
        ),
      );
      const expected = new Float64Array(blocks * columns);
      const size = new Float64Array(blocks * columns);
      for (let r = 0; r < (weighted ? rows : batch); r++) {
        for (let c = 0; c < columns; c++) {
          const at = Math.floor(r / rows_per_block) * columns + c;
          const term = (weighted ? weights[r]! : 1) * matrix[r * columns + c]!;
          expected[at]! += term;
          size[at]! += Math.abs(term);
        }
      }
      const actual = await bench.readRows(sums, blocks, columns);
      // A product, and sums within the block; blocks without a row are zero.
      expect(worst(actual, expected, (i) => gamma(rows_per_block + 1) * size[i]!)).toBeLessThan(1);
    }
  });
});

describe("skip_gradient", () => {
  test.each([
    { rows: 65, width_in: 37, width_out: 21, half: false },
    { rows: 33, width_in: 65, width_out: 6, half: true },
    { rows: 1, width_in: 1, width_out: 1, half: false },
  ])("$rows tokens, $width_in to $width_out, f16: $half", async ({ rows, width_in, width_out, half }) => {
    bench = new KernelBench(gpu, { rows });
    const [stride_in, stride_out] = [Math.ceil(width_in / 4), Math.ceil(width_out / 4)];
    const x = normals((rows + 1) * width_in, 1).map((value) => (half ? toHalf(value) : value));
    const e = normals((rows + 1) * width_out, 2);
    // The second region is what gradients are taken against.
    const first = (rows + 1) * stride_out;
    const errors = bench.rows([...new Array(e.length).fill(9), ...e], width_out);
    const gW_skip = bench.untouched(4 * stride_out * 4 * stride_in);
    const square_norms = bench.untouched(4 * stride_out);
    bench.run(
      await planSkipGradient(
        bench.context,
        { rows: rows + 1, stride_in, stride_out, first, half },
        { x: half ? bench.halves(x, width_in) : bench.rows(x, width_in), errors, gW_skip, square_norms },
      ),
    );
    const outputs = 4 * stride_out;
    const expected = new Float64Array(outputs * width_in);
    const size = new Float64Array(outputs * width_in);
    for (let o = 0; o < width_out; o++) {
      for (let c = 0; c < width_in; c++) {
        for (let t = 0; t < rows; t++) {
          const term = (2 / rows) * e[t * width_out + o]! * x[t * width_in + c]!;
          expected[o * width_in + c]! += term;
          size[o * width_in + c]! += Math.abs(term);
        }
      }
    }
    // A product, the sum, a division and a product.
    const bound = gamma(rows + 2 + division);
    const actual = await bench.readRows(gW_skip, outputs, width_in);
    expect(worst(actual, expected, (i) => bound * size[i]!)).toBeLessThan(1);
    const squares = (of: Float64Array, o: number) =>
      of.subarray(o * width_in, (o + 1) * width_in).reduce((sum, g) => sum + g ** 2, 0);
    const norms = Float64Array.from({ length: outputs }, (_, o) => squares(expected, o));
    const squareBound = 2 * bound + bound ** 2 + gamma(width_in + 2);
    expect(worst(await bench.f32(square_norms), norms, (o) => squareBound * squares(size, o))).toBeLessThan(
      1,
    );
  });
});

describe("gradient_norm", () => {
  test.each([
    { subtract: true, skip_rows: 0, max_norm: 1 },
    { subtract: false, skip_rows: 0, max_norm: 1e6 },
    { subtract: true, skip_rows: 68, max_norm: null },
    { subtract: false, skip_rows: 68, max_norm: 0.5 },
  ])(
    "through the encoder: $subtract, $skip_rows rows of W_skip, clipped at $max_norm",
    async ({ subtract, skip_rows, max_norm }) => {
      const [rows, d_in, d_sae, stride] = [200, 65, 129, 17];
      bench = new KernelBench(gpu, { rows });
      const blocks = { errors: blocksOf(rows).blocks, encoder: blocksOf(d_sae).blocks };
      const errorSums = normals(blocks.errors * d_in, 1);
      const encoderSums = normals(blocks.encoder * d_in, 2);
      // As the trainer has them: a row of several.
      const sums = normals(64 + 192, 3).map((value) => value ** 2);
      const squares = sums.subarray(64, 64 + d_sae);
      const skipSquares = normals(skip_rows, 4).map((value) => value ** 2);
      const [gb_dec, counters] = [bench.untouched(4 * stride), bench.output(4)];
      const control = bench.input(packControl(d_sae, { n_active: 5, clip: 9, coefficient: 0.25 }));
      bench.run(
        await planGradientNorm(
          bench.context,
          { rows, d_sae, stride, skip_rows, max_norm },
          {
            error_sums: bench.rows(errorSums, d_in),
            encoder_sums: subtract ? bench.rows(encoderSums, d_in) : null,
            square_norms: { buffer: bench.input(sums), offset: 256, size: 4 * 192 },
            skip_square_norms: skip_rows > 0 ? bench.input(skipSquares) : null,
            gb_dec,
            control,
            counters,
          },
        ),
      );
      const [expected, size] = [new Float64Array(d_in), new Float64Array(d_in)];
      for (let i = 0; i < d_in; i++) {
        const terms = [
          ...range(blocks.errors).map((b) => (2 / rows) * errorSums[b * d_in + i]!),
          ...(subtract ? range(blocks.encoder).map((b) => -encoderSums[b * d_in + i]!) : []),
        ];
        expected[i] = terms.reduce((a, b) => a + b);
        size[i] = terms.reduce((a, b) => a + Math.abs(b), 0);
      }
      const bound = gamma(blocks.errors + blocks.encoder + division + 2);
      expect(
        worst(await bench.readRows(gb_dec, 1, d_in), expected, (i) => bound * size[i]!),
      ).toBeLessThanOrEqual(1);
      const square =
        [...squares, ...skipSquares].reduce((a, b) => a + b) + expected.reduce((a, b) => a + b ** 2, 0);
      const norm = Math.sqrt(square);
      // Squares of gb_dec bring their own error; the rest is a sum of positive terms.
      const own = size.reduce((a, b) => a + b ** 2, 0);
      const relative = (2 * bound * own) / square + gamma(d_sae + skip_rows + d_in + squareRoot);
      const clip = max_norm === null ? 1 : Math.min(1, max_norm / (norm + 1e-6));
      const actual = unpackControl(await bench.u32(control), { d_sae });
      expect(Math.abs(actual.grad_norm - norm)).toBeLessThan(relative * norm);
      expect(Math.abs(actual.clip - clip)).toBeLessThanOrEqual((relative + gamma(division + 2)) * clip);
      expect(clip === 1).toBe(actual.clip === 1);
      expect(actual).toMatchObject({ n_active: 5, coefficient: 0.25 });
      expect((await bench.u32(counters))[0]).toBe(0);
    },
  );

  test.each([
    ["the norm overflows", 3e38],
    ["a gradient is not a number", Number.NaN],
  ])("marks the step where %s", async (_name, square) => {
    bench = new KernelBench(gpu, { rows: 1, number: 9 });
    const counters = bench.output(4);
    bench.run(
      await planGradientNorm(
        bench.context,
        { rows: 1, d_sae: 4, stride: 1, skip_rows: 0, max_norm: 1 },
        {
          error_sums: bench.output(4),
          encoder_sums: null,
          square_norms: { buffer: bench.input(new Float32Array(4).fill(square)) },
          skip_square_norms: null,
          gb_dec: bench.output(4),
          control: bench.input(packControl(4, {})),
          counters,
        },
      ),
    );
    expect(divergedStep((await bench.u32(counters))[0]!)).toBe(9);
  });
});

test.each([
  [65, 37],
  [1, 1],
])("token_loss of %i tokens of width %i", async (rows, width) => {
  bench = new KernelBench(gpu, { rows });
  const errors = normals((rows + 1) * width, 1);
  const losses = bench.untouched(rows + 1);
  const shape = { rows: rows + 1, stride: Math.ceil(width / 4) };
  bench.run(await planTokenLoss(bench.context, shape, { errors: bench.rows(errors, width), losses }));
  const expected = range(rows).map((t) =>
    errors.subarray(t * width, (t + 1) * width).reduce((sum, e) => sum + e ** 2, 0),
  );
  const actual = await bench.f32(losses);
  expect(worst(actual, expected, (t) => gamma(width + 1) * expected[t]!)).toBeLessThan(1);
  expect(actual[rows]).toBe(leftAlone);
});
