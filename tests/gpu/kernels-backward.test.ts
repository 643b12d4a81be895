import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { planAdam } from "../../gpu/kernels/adam.ts";
import { blocksOf, planColumnSum } from "../../gpu/kernels/column-sum.ts";
import { controlBytes, divergedStep } from "../../gpu/kernels/control.ts";
import { featureSumStride, planFeatureGradient } from "../../gpu/kernels/feature-gradient.ts";
import { planGradientNorm } from "../../gpu/kernels/gradient-norm.ts";
import { planMoments } from "../../gpu/kernels/moments.ts";
import { entryBytes, planScatter } from "../../gpu/kernels/scatter.ts";
import { planSegments } from "../../gpu/kernels/segments.ts";
import { planStatistics, statisticsBytes, unpackStatistics } from "../../gpu/kernels/statistics.ts";
import { RandomStream } from "../../gpu/sae/random.ts";
import { dotBound, KernelBench, normals, worst } from "./kernel-bench.ts";

let gpu: Gpu;
let bench: KernelBench;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterEach(() => bench.close());
afterAll(() => gpu.close());

interface Entry {
  token: number;
  feature: number;
  value: number;
  gradient: number;
}

/** k entries a token, features ascending: feature 0 at every token, the last at none, some entries inactive. */
function sparse(rows: number, d_sae: number, k: number, seed: number) {
  const random = new RandomStream(seed);
  const entries: Entry[] = [];
  for (let token = 0; token < rows; token++) {
    const features = new Set([0]);
    while (features.size < k) features.add(random.u32() % (d_sae - 1));
    for (const feature of [...features].sort((a, b) => a - b)) {
      const value = feature === 0 || random.uniform() < 0.7 ? random.uniform() + 0.1 : 0;
      entries.push({ token, feature, value: Math.fround(value), gradient: Math.fround(random.normal()) });
    }
  }
  return entries;
}

/** Buffers of the counting sort for a list of entries. */
function sortBuffers(entries: Entry[], rows: number, d_sae: number) {
  const tiles = Math.ceil(rows / 32);
  const words = new Uint32Array(tiles * d_sae);
  for (const { token, feature, value } of entries) {
    if (value !== 0) words[(token >> 5) * d_sae + feature]! += 2 ** (token % 32);
  }
  return {
    indices: bench.input(Uint32Array.from(entries, ({ feature }) => feature)),
    values: bench.input(Float32Array.from(entries, ({ value }) => value)),
    gradients: bench.input(Float32Array.from(entries, ({ gradient }) => gradient)),
    active_words: bench.input(words),
    before: bench.output(tiles * d_sae),
  };
}

/** What the sort must give for one feature: its active entries, tokens ascending. */
const activeOf = (entries: Entry[], f: number) => entries.filter((e) => e.feature === f && e.value !== 0);

async function readSegment(segments: GPUBuffer, entries: GPUBuffer, segment: number) {
  const [begin, count] = (await bench.u32(segments)).subarray(2 * segment, 2 * segment + 2);
  const words = await bench.u32(entries);
  const floats = new Float32Array(words.buffer);
  return Array.from({ length: count! }, (_, i) => {
    const at = (entryBytes / 4) * (begin! + i);
    return { token: words[at]!, value: floats[at + 1]!, gradient: floats[at + 2]! };
  });
}

describe("segments and scatter", () => {
  test.each([
    [37, 29, 5],
    [1, 2, 1],
    [100, 65, 64],
    [64, 3, 2],
  ])("sort %i tokens' entries of %i features, %i each, stably", async (rows, d_sae, k) => {
    bench = new KernelBench(gpu, { rows });
    const main = sparse(rows, d_sae, k, 3);
    const aux = sparse(rows, d_sae, k, 4).map((entry) => ({ ...entry, value: entry.value - 0.4 || 1 }));
    const lists = { main: sortBuffers(main, rows, d_sae), aux: sortBuffers(aux, rows, d_sae) };
    const segments = bench.output(4 * d_sae);
    const entries = bench.output((entryBytes / 4) * 2 * rows * k);
    const counters = bench.output(4);
    const ages = bench.input(Uint32Array.from({ length: d_sae }, (_, f) => (f % 2 === 0 ? 10 : 0xfffffffe)));
    const control = bench.input(Uint32Array.of(d_sae, k, 0, 0, 0, 0, 0, 0));
    const { context } = bench;
    const shape = { rows, d_sae, k };
    bench.run(
      await planSegments(
        context,
        { ...shape, list: "main", first_entry: 0 },
        {
          ...lists.main,
          segments,
          counters,
          keep: { tokens_since_fired: ages },
        },
      ),
      await planSegments(
        context,
        { ...shape, list: "aux", first_entry: rows * k },
        {
          ...lists.aux,
          segments,
          counters,
          keep: null,
        },
      ),
      await planScatter(context, shape, { ...lists.main, segments, entries, control: null }),
      await planScatter(context, shape, { ...lists.aux, segments, entries, control }),
    );
    const count = (list: Entry[]) => list.filter(({ value }) => value !== 0).length;
    expect([...(await bench.u32(counters, 2))]).toEqual([count(main), count(aux)]);
    const aged = await bench.u32(ages);
    for (let f = 0; f < d_sae; f++) {
      const strip = (list: Entry[]) => activeOf(list, f).map(({ feature: _, ...entry }) => entry);
      expect(await readSegment(segments, entries, f), `feature ${f}`).toEqual(strip(main));
      const auxExpected = strip(aux).map((entry) => ({ ...entry, value: Math.fround(entry.value) }));
      expect(await readSegment(segments, entries, d_sae + f), `aux ${f}`).toEqual(auxExpected);
      const older = f % 2 === 0 ? 10 + rows : Math.min(0xffffffff, 0xfffffffe + rows);
      expect(aged[f]).toBe(activeOf(main, f).length > 0 ? 0 : older);
    }
  });

  test("evaluation adds up firings", async () => {
    const [rows, d_sae, k] = [37, 29, 5];
    bench = new KernelBench(gpu, { rows });
    const main = sparse(rows, d_sae, k, 3);
    const firings = bench.input(new Uint32Array(d_sae).fill(2));
    const dispatch = await planSegments(
      bench.context,
      { rows, d_sae, list: "main", first_entry: 0 },
      {
        ...sortBuffers(main, rows, d_sae),
        segments: bench.output(4 * d_sae),
        counters: bench.output(4),
        keep: { firings },
      },
    );
    bench.run(dispatch, dispatch);
    const expected = Array.from({ length: d_sae }, (_, f) => 2 + 2 * activeOf(main, f).length);
    expect([...(await bench.u32(firings, d_sae))]).toEqual(expected);
  });
});

describe.each([true, false])("feature_gradient, unit decoder: %s", (unit_decoder) => {
  test.each([
    [37, 65, 29, 5],
    [1, 1, 2, 1],
    [100, 130, 9, 8],
  ])("%i tokens of width %i, %i features, k = %i", async (rows, d_in, d_sae, k) => {
    bench = new KernelBench(gpu, { rows });
    const stride = Math.ceil(d_in / 4);
    const entries = sparse(rows, d_sae, k, 3).filter(({ value }) => value !== 0);
    const aux = sparse(rows, d_sae, k, 4).filter(({ value }) => value !== 0);
    const sorted = [entries, aux].map((list) =>
      list.toSorted((a, b) => a.feature - b.feature || a.token - b.token),
    );
    const words = new DataView(new ArrayBuffer(entryBytes * (entries.length + aux.length)));
    const segments = new Uint32Array(4 * d_sae);
    sorted.flat().forEach(({ token, value, gradient }, i) => {
      words.setUint32(entryBytes * i, token, true);
      words.setFloat32(entryBytes * i + 4, value, true);
      words.setFloat32(entryBytes * i + 8, gradient, true);
    });
    sorted.forEach((list, half) => {
      for (let f = 0; f < d_sae; f++) {
        const first = list.findIndex(({ feature }) => feature === f);
        const at = 2 * (half * d_sae + f);
        segments[at] = first < 0 ? 0 : first + half * entries.length;
        segments[at + 1] = activeOf(list, f).length;
      }
    });
    const [x, errors] = [normals(rows * d_in, 1), normals(2 * rows * d_in, 2)];
    const W = normals(d_sae * d_in, 5);
    for (let f = 0; f < d_sae; f++) {
      const row = W.subarray(f * d_in, (f + 1) * d_in);
      row.set(row.map((w) => w / Math.hypot(...row)));
    }
    const [gW_enc, gW_dec] = [bench.output(d_sae * 4 * stride), bench.output(d_sae * 4 * stride)];
    const sums = bench.output(2 * featureSumStride(d_sae));
    bench.run(
      await planFeatureGradient(
        bench.context,
        { rows, d_in, d_sae, stride, k, unit_decoder, aux: true },
        {
          x: bench.rows(x, d_in),
          errors: bench.rows(errors, d_in),
          entries: bench.input(new Uint32Array(words.buffer)),
          segments: bench.input(segments),
          gW_enc,
          gW_dec,
          feature_sums: sums,
          W_dec: bench.rows(W, d_in),
        },
      ),
    );
    const enc = new Float64Array(d_sae * d_in);
    const dec = new Float64Array(d_sae * d_in);
    const bias = new Float64Array(d_sae);
    const encSize = new Float64Array(d_sae * d_in);
    const decSize = new Float64Array(d_sae * d_in);
    const biasSize = new Float64Array(d_sae);
    sorted.forEach((list, half) => {
      for (const { token, feature, value, gradient } of list) {
        bias[feature]! += gradient;
        biasSize[feature]! += Math.abs(gradient);
        for (let i = 0; i < d_in; i++) {
          const e = ((2 * value) / rows) * errors[(half * rows + token) * d_in + i]!;
          const step = gradient * x[token * d_in + i]!;
          dec[feature * d_in + i]! += e;
          decSize[feature * d_in + i]! += Math.abs(e);
          enc[feature * d_in + i]! += step;
          encSize[feature * d_in + i]! += Math.abs(step);
        }
      }
    });
    const squares = new Float64Array(d_sae);
    for (let f = 0; f < d_sae; f++) {
      let along = 0;
      let alongSize = 0;
      for (let i = f * d_in; i < (f + 1) * d_in; i++) {
        along += dec[i]! * W[i]!;
        alongSize += decSize[i]! * Math.abs(W[i]!);
      }
      squares[f] = bias[f]! ** 2;
      for (let i = f * d_in; i < (f + 1) * d_in; i++) {
        if (unit_decoder) {
          dec[i]! -= along * W[i]!;
          decSize[i]! += alongSize * Math.abs(W[i]!);
        }
        squares[f]! += dec[i]! ** 2 + enc[i]! ** 2;
      }
    }
    const n = 2 * rows + d_in + 3;
    const actualEnc = await bench.readRows(gW_enc, d_sae, d_in);
    expect(worst(actualEnc, enc, (i) => dotBound(n) * encSize[i]!)).toBeLessThan(1);
    expect(
      worst(await bench.readRows(gW_dec, d_sae, d_in), dec, (i) => dotBound(n) * decSize[i]!),
    ).toBeLessThan(1);
    const actualSums = await bench.f32(sums);
    expect(worst(actualSums.subarray(0, d_sae), bias, (f) => dotBound(n) * biasSize[f]!)).toBeLessThan(1);
    const actualSquares = actualSums.subarray(featureSumStride(d_sae), featureSumStride(d_sae) + d_sae);
    expect(worst(actualSquares, squares, (f) => 1e-5 * squares[f]!)).toBeLessThan(1);
    // No entry: exactly nothing.
    expect(actualEnc.subarray((d_sae - 1) * d_in).every((g) => g === 0)).toBe(true);
  });
});

test.each([
  [37, 65],
  [1, 1],
  [9000, 5],
])("column_sum over %i rows of width %i, by the batch and weighted", async (rows, columns) => {
  bench = new KernelBench(gpu, { rows });
  const stride = Math.ceil(columns / 4);
  const [matrix, weights] = [normals(rows * columns, 1), normals(rows, 2)];
  const { blocks } = blocksOf(rows);
  expect(blocks).toBeLessThanOrEqual(128);
  for (const weighted of [false, true]) {
    const sums = bench.output(blocks * 4 * stride);
    bench.run(
      await planColumnSum(
        bench.context,
        { label: "test", rows, stride },
        {
          matrix: bench.rows(matrix, columns),
          sums,
          rows: weighted ? { weights: { buffer: bench.input(weights) } } : "batch",
        },
      ),
    );
    const partial = await bench.readRows(sums, blocks, columns);
    for (let c = 0; c < columns; c++) {
      let expected = 0;
      let size = 0;
      for (let r = 0; r < rows; r++) {
        const term = (weighted ? weights[r]! : 1) * matrix[r * columns + c]!;
        expected += term;
        size += Math.abs(term);
      }
      let actual = 0;
      for (let b = 0; b < blocks; b++) actual += partial[b * columns + c]!;
      expect(Math.abs(actual - expected)).toBeLessThan(dotBound(rows) * size);
    }
  }
});

describe("gradient_norm", () => {
  test.each([
    [true, 1],
    [false, 1e6],
    [true, null],
  ])("through the encoder: %s, clipped at %s", async (subtract, max_norm) => {
    const [rows, d_in, d_sae, stride] = [200, 65, 129, 17];
    bench = new KernelBench(gpu, { rows });
    const blocks = { errors: blocksOf(rows).blocks, encoder: blocksOf(d_sae).blocks };
    const errorSums = normals(blocks.errors * d_in, 1);
    const encoderSums = normals(blocks.encoder * d_in, 2);
    const featureSums = new Float32Array(2 * featureSumStride(d_sae));
    const squares = normals(d_sae, 3).map((value) => value ** 2);
    featureSums.set(squares, featureSumStride(d_sae));
    const [gb_dec, control] = [bench.output(4 * stride), bench.output(controlBytes / 4)];
    bench.run(
      await planGradientNorm(
        bench.context,
        { rows, d_sae, stride, max_norm },
        {
          error_sums: bench.rows(errorSums, d_in),
          encoder_sums: subtract ? bench.rows(encoderSums, d_in) : null,
          feature_sums: bench.input(featureSums),
          gb_dec,
          control,
          counters: bench.output(4),
        },
      ),
    );
    const expected = new Float64Array(d_in);
    for (let i = 0; i < d_in; i++) {
      for (let b = 0; b < blocks.errors; b++) expected[i]! += (2 / rows) * errorSums[b * d_in + i]!;
      if (subtract) for (let b = 0; b < blocks.encoder; b++) expected[i]! -= encoderSums[b * d_in + i]!;
    }
    expect(worst(await bench.readRows(gb_dec, 1, d_in), expected, () => 1e-5)).toBeLessThan(1);
    const norm = Math.sqrt([...expected, ...squares.map(Math.sqrt)].reduce((sum, g) => sum + g ** 2, 0));
    const clip = max_norm === null ? 1 : Math.min(1, max_norm / (norm + 1e-6));
    const [actualNorm, actualClip] = (await bench.f32(control)).subarray(3, 5);
    expect(actualNorm! / norm).toBeCloseTo(1, 5);
    expect(actualClip! / clip).toBeCloseTo(1, 5);
  });

  test("marks the step when the norm overflows", async () => {
    bench = new KernelBench(gpu, { rows: 1, number: 9 });
    const counters = bench.output(4);
    const sums = new Float32Array(2 * featureSumStride(4)).fill(3e38);
    bench.run(
      await planGradientNorm(
        bench.context,
        { rows: 1, d_sae: 4, stride: 1, max_norm: 1 },
        {
          error_sums: bench.output(4),
          encoder_sums: null,
          feature_sums: bench.input(sums),
          gb_dec: bench.output(4),
          control: bench.output(controlBytes / 4),
          counters,
        },
      ),
    );
    expect(divergedStep((await bench.u32(counters))[2]!)).toBe(9);
  });
});

test.each([
  [false, 129, 65],
  [true, 129, 65],
  [true, 1, 3],
  [false, 1, 5],
])("adam equals torch's formula; unit rows: %s, %i rows of %i", async (unit_rows, rows, columns) => {
  const [beta1, beta2, epsilon, t, lr, clip] = [0.9, 0.999, 1e-8, 7, 1e-2, 0.3];
  bench = new KernelBench(gpu, {
    step_size: lr / (1 - beta1 ** t),
    second_moment_scale: 1 / Math.sqrt(1 - beta2 ** t),
  });
  const stride = Math.ceil(columns / 4);
  const count = rows * columns;
  const [p, g, m] = [normals(count, 1), normals(count, 2), normals(count, 3)];
  const v = normals(count, 4).map((value) => value ** 2);
  // A parameter whose gradients were all zero stays where it is.
  g[0] = 0;
  m[0] = 0;
  v[0] = 0;
  const control = bench.input(Float32Array.of(0, 0, 0, 0, clip, 0, 0, 0));
  const parameters = bench.rows(p, columns);
  const [first, second] = [bench.rows(m, columns), bench.rows(v, columns)];
  bench.run(
    await planAdam(
      bench.context,
      { tensor: "test", count: rows * stride, stride, beta1, beta2, epsilon, unit_rows },
      {
        parameters,
        gradients: bench.rows(g, columns),
        first_moments: first,
        second_moments: second,
        control,
      },
    ),
  );
  const expected = Float64Array.from(p, (value, i) => {
    const mean = beta1 * m[i]! + (1 - beta1) * clip * g[i]!;
    const square = beta2 * v[i]! + (1 - beta2) * (clip * g[i]!) ** 2;
    return value - (lr * (mean / (1 - beta1 ** t))) / (Math.sqrt(square / (1 - beta2 ** t)) + epsilon);
  });
  if (unit_rows) {
    for (let r = 0; r < rows; r++) {
      const row = expected.subarray(r * columns, (r + 1) * columns);
      const norm = Math.hypot(...row);
      for (let i = 0; i < columns; i++) row[i]! /= norm;
    }
  }
  const near = (values: ArrayLike<number>) => (i: number) => 2e-6 * (0.1 + Math.abs(values[i]!));
  // Where v is tiny the update is large, and is known to f32's precision only.
  const nearParameter = (i: number) => 2e-6 * (0.1 + Math.abs(p[i]!) + Math.abs(expected[i]! - p[i]!));
  expect(worst(await bench.readRows(parameters, rows, columns), expected, nearParameter)).toBeLessThan(1);
  const mean = m.map((value, i) => beta1 * value + (1 - beta1) * clip * g[i]!);
  expect(worst(await bench.readRows(first, rows, columns), mean, near(mean))).toBeLessThan(1);
  const square = v.map((value, i) => beta2 * value + (1 - beta2) * (clip * g[i]!) ** 2);
  expect(worst(await bench.readRows(second, rows, columns), square, near(square))).toBeLessThan(1);
});

test("moments and statistics are those of two passes, also far from zero", async () => {
  const [rows, d_in, stride] = [137, 37, 10];
  bench = new KernelBench(gpu, { rows });
  const x = normals(rows * d_in, 1).map((value) => 1000 + value);
  const errors = normals(2 * rows * d_in, 2).map((value, i) => (i < rows * d_in ? 3 : 0) + value);
  const { blocks } = blocksOf(rows);
  const { context } = bench;
  const [xBuffer, errorBuffer] = [bench.rows(x, d_in), bench.rows(errors, d_in)];
  const [x_sums, error_sums, moments] = [0, 0, 0].map(() => bench.output(blocks * stride * 4)) as [
    GPUBuffer,
    GPUBuffer,
    GPUBuffer,
  ];
  const control = new DataView(new ArrayBuffer(controlBytes));
  control.setUint32(0, 5, true);
  control.setFloat32(8, 0.5, true);
  control.setFloat32(12, 2.5, true);
  const statistics = bench.output(statisticsBytes / 4);
  const sum = (label: string, matrix: GPUBuffer, sums: GPUBuffer) =>
    planColumnSum(context, { label, rows, stride }, { matrix, sums, rows: "batch" });
  bench.run(
    await sum("x", xBuffer, x_sums),
    await sum("errors", errorBuffer, error_sums),
    await planMoments(
      context,
      { rows, stride, aux: true },
      { x: xBuffer, errors: errorBuffer, x_sums, error_sums, moments },
    ),
    await planStatistics(context, blocks * stride, {
      moments,
      control: bench.input(new Uint32Array(control.buffer)),
      counters: bench.input(Uint32Array.of(321, 0, 0xffffffff - 4, 0)),
      statistics,
    }),
  );
  const actual = unpackStatistics((await bench.u32(statistics)).buffer as ArrayBuffer);
  const deviation = (values: Float32Array) => {
    let total = 0;
    for (let i = 0; i < d_in; i++) {
      const column = Array.from({ length: rows }, (_, t) => values[t * d_in + i]!);
      const mean = column.reduce((a, b) => a + b) / rows;
      for (const value of column) total += (value - mean) ** 2;
    }
    return total;
  };
  const squares = (values: Float32Array) => values.reduce((total, value) => total + value ** 2, 0);
  const main = errors.subarray(0, rows * d_in);
  expect(actual.x_deviation / deviation(x)).toBeCloseTo(1, 4);
  expect(actual.error_deviation / deviation(main)).toBeCloseTo(1, 5);
  expect(actual.error / squares(main)).toBeCloseTo(1, 5);
  expect(actual.aux_error / squares(errors.subarray(rows * d_in))).toBeCloseTo(1, 5);
  expect(actual).toMatchObject({ aux_scale: 0.5, grad_norm: 2.5, active: 321, n_dead: 5, diverged: 4 });
});
