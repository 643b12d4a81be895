import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { planEncode } from "../../gpu/kernels/encode.ts";
import { planLmActivate } from "../../gpu/lm/kernels/activate.ts";
import { planAdd } from "../../gpu/lm/kernels/add.ts";
import { planAttention } from "../../gpu/lm/kernels/attention.ts";
import { planEmbed } from "../../gpu/lm/kernels/embed.ts";
import { planLoss } from "../../gpu/lm/kernels/loss.ts";
import { planNorm } from "../../gpu/lm/kernels/norm.ts";
import { planRotary } from "../../gpu/lm/kernels/rotary.ts";
import { planSoftcap } from "../../gpu/lm/kernels/softcap.ts";
import type { Activation } from "../../gpu/lm/model-spec.ts";
import { packRows } from "../../gpu/lm/pack-weights.ts";
import { rotaryTable } from "../../gpu/lm/rotary-table.ts";
import { toHalf } from "../reference/half.ts";
import { KernelBench, leftAlone, withCapabilities } from "./kernel-bench.ts";
import { gamma, normals, range, worst } from "./kernel-data.ts";

/* The language model's kernels against float64, where a whole model does not take them. */

let gpu: Gpu;
let bench: KernelBench;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterEach(() => bench.close());
afterAll(() => gpu.close());

/** Φ(x) by the series of erf (Abramowitz & Stegun 7.1.6), and by its continued fraction beyond (7.1.14). */
function normalCdf(x: number): number {
  const z = Math.abs(x) / Math.SQRT2;
  if (z < 3) {
    let [term, sum] = [z, z];
    for (let n = 1; n < 100; n++) {
      term *= (2 * z * z) / (2 * n + 1);
      sum += term;
    }
    return 0.5 + (Math.sign(x) * sum * Math.exp(-z * z)) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (z + fraction);
  const tail = Math.exp(-z * z) / (2 * Math.sqrt(Math.PI) * (z + fraction));
  return x < 0 ? tail : 1 - tail;
}

const exact: Record<Activation, (x: number) => number> = {
  gelu: (x) => x * normalCdf(x),
  gelu_tanh: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  silu: (x) => x / (1 + Math.exp(-x)),
  relu: (x) => Math.max(x, 0),
};

describe.each(["gelu", "gelu_tanh", "silu", "relu"] as const)("activation %s", (activation) => {
  // Dense where functions bend, then to the ends of f32 that an MLP could give.
  const small = range(4001).map((i) => (i - 2000) / 200);
  const x = Float32Array.from([...small, 50, -50, 100, -100, 1e4, -1e4, 1e12, -1e12, 1e-20, -1e-20, 0]);

  test.each([false, true])("has the right value everywhere, gated: %s", async (gated) => {
    bench = new KernelBench(gpu, { rows: 1 });
    const padded = new Float32Array(4 * Math.ceil(x.length / 4));
    padded.set(x);
    const up = normals(padded.length, 4);
    const y = bench.input(padded);
    const shape = { rows: 1, stride: padded.length / 4, activation };
    bench.run(await planLmActivate(bench.context, shape, { y, up: gated ? bench.input(up) : null }));
    const expected = Float64Array.from(x, (value, i) => exact[activation](value) * (gated ? up[i]! : 1));
    const actual = await bench.f32(y, padded.length);
    // Of erf and tanh 2e-7 of one, times half of x; a few roundings of the product besides.
    const bound = (i: number) =>
      (2e-7 * Math.abs(x[i]!) + 1e-6 * Math.abs(exact[activation](x[i]!)) + 1e-37) *
      (gated ? Math.abs(up[i]!) : 1);
    expect(worst(actual, expected, bound)).toBeLessThan(1);
    expect([...actual.subarray(x.length)].every((value) => value === 0)).toBe(true);
  });
});

test("the soft cap has the right value everywhere", async () => {
  bench = new KernelBench(gpu, { rows: 1 });
  const x = Float32Array.from([...range(2000).map((i) => (i - 1000) / 4), 1e5, -1e5, 1e30, -1e30]);
  const y = bench.input(x);
  bench.run(await planSoftcap(bench.context, { rows: 1, stride: x.length / 4, cap: 30 }, y));
  const expected = Float64Array.from(x, (value) => 30 * Math.tanh(value / 30));
  const bound = (i: number) => 30 * 2e-7 * Math.min(1, 4 * Math.abs(expected[i]! / 30)) + 1e-30;
  expect(worst(await bench.f32(y), expected, bound)).toBeLessThan(1);
});

describe.each([
  { lanes: "a subgroup", capabilities: {} },
  { lanes: "8 that meet at barriers", capabilities: { subgroup_min_size: 0 } },
  { lanes: "64 that meet at barriers", capabilities: { subgroup_min_size: 0, software: false } },
])("norm, lanes: $lanes", ({ capabilities }) => {
  test.each([
    { kind: "layer", layout: { groups: 1, size: 37 }, offset: 0, weighted: true, inPlace: false },
    { kind: "layer", layout: { groups: 1, size: 301 }, offset: 0, weighted: false, inPlace: false },
    { kind: "rms", layout: { groups: 3, size: 6 }, offset: 1, weighted: true, inPlace: true },
    { kind: "rms", layout: { groups: 1, size: 1 }, offset: 0, weighted: true, inPlace: false },
    { kind: "layer", layout: { groups: 1, size: 41 }, offset: 0, weighted: true, inPlace: true },
  ] as const)("$kind of $layout, in place: $inPlace", async ({ kind, layout, offset, weighted, inPlace }) => {
    const [rows, planned, eps] = [5, 7, 1e-3];
    bench = new KernelBench(withCapabilities(gpu, capabilities), { rows });
    const { groups, size } = layout;
    // A mean far from zero beside a small variance, which a sum of squares would drown.
    const x = normals(planned * groups * size, 1).map((value) => 300 + value / 8);
    const [w, b] = [normals(size, 2), normals(size, 3)];
    const biased = weighted && kind === "layer";
    const input = bench.rows(x, size);
    const y = inPlace ? input : bench.untouched(planned * groups * 4 * Math.ceil(size / 4));
    bench.run(
      await planNorm(
        bench.context,
        { label: "norm", rows: planned, layout, norm: { kind, eps, offset } },
        {
          x: inPlace ? null : input,
          w: weighted ? bench.rows(w, size) : null,
          b: biased ? bench.rows(b, size) : null,
          y,
        },
      ),
    );
    const actual = await bench.readRows(y, rows * groups, size);
    for (let row = 0; row < rows * groups; row++) {
      const own = Array.from(x.subarray(row * size, (row + 1) * size));
      const mean = kind === "rms" ? 0 : own.reduce((a, v) => a + v, 0) / size;
      const square = own.reduce((a, v) => a + (v - mean) ** 2, 0) / size;
      const expected = own.map((v, i) => {
        const value = (v - mean) / Math.sqrt(square + eps);
        return value * (weighted ? offset + w[i]! : 1) + (biased ? b[i]! : 0);
      });
      // The mean is off by some 300 · 2^-23, an eighth being one.
      const bound = (i: number) => 2e-3 * (kind === "rms" ? 1e-3 : 1) * (Math.abs(expected[i]!) + 2);
      expect(worst(actual.subarray(row * size), expected, bound), `row ${row}`).toBeLessThan(1);
    }
    if (!inPlace) {
      const rest = await bench.f32(y);
      const pitch = groups * 4 * Math.ceil(size / 4);
      expect(rest.subarray(rows * pitch).every((value) => value === leftAlone)).toBe(true);
    }
  });
});

describe.each([
  { keys: "loaded by quads", capabilities: {} },
  { keys: "loaded by each", capabilities: { software: false } },
])("attention, keys $keys", ({ capabilities }) => {
  interface Case {
    name: string;
    n: number;
    length: number;
    n_heads: number;
    n_kv_heads: number;
    d_head: number;
    scale: number;
    cap: number | null;
    window: number | null;
  }
  const usual = {
    n: 2,
    length: 33,
    n_heads: 4,
    n_kv_heads: 2,
    d_head: 8,
    scale: 0.4,
    cap: null,
    window: null,
  };
  const cases: Case[] = [
    { ...usual, name: "whole" },
    { ...usual, name: "one position", length: 1 },
    { ...usual, name: "one key of each query's own", window: 1 },
    { ...usual, name: "a window no tile ends at", window: 7 },
    { ...usual, name: "a window as long as the sequence", window: 33 },
    { ...usual, name: "a window beyond the sequence", window: 2 ** 24 },
    { ...usual, name: "scores that exp does not hold", scale: 1e3 },
    { ...usual, name: "capped scores", scale: 20, cap: 5 },
    { ...usual, name: "a cap far above scores", cap: 1e4 },
    { ...usual, name: "padded heads, 6 on 2", n_heads: 6, d_head: 5 },
    { ...usual, name: "more queries than a workgroup", n: 3, length: 70, window: 20 },
    { ...usual, name: "wide heads", n: 1, d_head: 256, n_heads: 2, n_kv_heads: 1, scale: 1 / 16 },
  ];
  test.each(cases)("$name", async ({ n, length, n_heads, n_kv_heads, d_head, scale, cap, window }) => {
    const rows = n * length;
    bench = new KernelBench(withCapabilities(gpu, capabilities), { rows });
    const q = normals(rows * n_heads * d_head, 1);
    const k = normals(rows * n_kv_heads * d_head, 2);
    const v = normals(rows * n_kv_heads * d_head, 3);
    // Planned for a sequence more than are run.
    const planned = rows + length;
    const pitch = 4 * Math.ceil(d_head / 4);
    const z = bench.untouched(planned * n_heads * pitch);
    bench.run(
      await planAttention(
        bench.context,
        { rows: planned, length, n_heads, n_kv_heads, d_head, scale, cap, window },
        { q: bench.rows(q, d_head), k: bench.rows(k, d_head), v: bench.rows(v, d_head), z },
      ),
    );
    const actual = await bench.readRows(z, rows * n_heads, d_head);
    const expected = new Float64Array(rows * n_heads * d_head);
    for (let t = 0; t < rows; t++) {
      for (let h = 0; h < n_heads; h++) {
        const g = Math.floor(h / (n_heads / n_kv_heads));
        const start = t - (t % length);
        const keys = range(t + 1).filter((j) => j >= start && j > t - (window ?? Number.POSITIVE_INFINITY));
        const scores = keys.map((j) => {
          let dot = 0;
          for (let i = 0; i < d_head; i++) {
            dot += q[(t * n_heads + h) * d_head + i]! * k[(j * n_kv_heads + g) * d_head + i]!;
          }
          return cap === null ? scale * dot : cap * Math.tanh((scale * dot) / cap);
        });
        const largest = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - largest));
        const total = weights.reduce((a, b) => a + b, 0);
        keys.forEach((j, at) => {
          for (let i = 0; i < d_head; i++) {
            expected[(t * n_heads + h) * d_head + i]! +=
              (weights[at]! / total) * v[(j * n_kv_heads + g) * d_head + i]!;
          }
        });
      }
    }
    // A score's error is its weight's: in f32 some 1e-6 of the largest product.
    const bound = () => 2e-6 * Math.max(4, scale * d_head * 2);
    expect(worst(actual, expected, bound)).toBeLessThan(1);
    const rest = await bench.f32(z);
    expect(rest.subarray(rows * n_heads * pitch).every((value) => value === leftAlone)).toBe(true);
  });
});

test("rotary positions turn the leading pairs of each head, and begin anew with each sequence", async () => {
  const [n, length, d_head, n_heads, dims] = [3, 11, 10, 3, 6];
  const rows = n * length;
  bench = new KernelBench(gpu, { rows });
  const x = normals(rows * n_heads * d_head, 1);
  const rotary = { dims, theta: 10_000, scaling: null };
  const buffer = bench.rows(x, d_head);
  bench.run(
    await planRotary(
      bench.context,
      { rows, layout: { groups: n_heads, size: d_head }, pairs: dims / 2, length },
      { table: bench.input(rotaryTable(rotary, length)), x: buffer },
    ),
  );
  const expected = Float64Array.from(x);
  for (let head = 0; head < rows * n_heads; head++) {
    const position = Math.floor(head / n_heads) % length;
    for (let i = 0; i < dims / 2; i++) {
      const angle = position * 10_000 ** ((-2 * i) / dims);
      const at = head * d_head + i;
      expected[at] = x[at]! * Math.cos(angle) - x[at + dims / 2]! * Math.sin(angle);
      expected[at + dims / 2] = x[at + dims / 2]! * Math.cos(angle) + x[at]! * Math.sin(angle);
    }
  }
  expect(worst(await bench.readRows(buffer, rows * n_heads, d_head), expected, () => 2e-6)).toBeLessThan(1);
});

test("embeddings are taken from the piece that has them, and positions added", async () => {
  const [n, length, d_vocab, width] = [2, 7, 50, 10];
  const rows = n * length;
  bench = new KernelBench(gpu, { rows });
  const ids = Uint32Array.from({ length: rows }, (_, i) => (i * 17) % d_vocab);
  const [W_E, W_pos] = [normals(d_vocab * width, 1), normals(9 * width, 2)];
  const y = bench.output((rows + 1) * 12);
  const first = 20;
  for (const piece of [
    { first: 0, count: first },
    { first, count: d_vocab - first },
  ]) {
    const W = bench.rows(W_E.slice(piece.first * width, (piece.first + piece.count) * width), width);
    const shape = { rows: rows + 1, stride: 3, ...piece, scale: 2.5 };
    bench.run(await planEmbed(bench.context, shape, { ids: bench.input(ids), W, y }));
  }
  const shape = { label: "add", rows: rows + 1, stride: 3, period: length };
  bench.run(await planAdd(bench.context, shape, { x: bench.rows(W_pos, width), y }));
  const expected = Float64Array.from({ length: rows * width }, (_, i) => {
    const [t, c] = [Math.floor(i / width), i % width];
    return 2.5 * W_E[ids[t]! * width + c]! + W_pos[(t % length) * width + c]!;
  });
  expect(worst(await bench.readRows(y, rows, width), expected, () => 1e-6)).toBeLessThan(1);
});

test.each([{ software: true }, { software: false }])(
  "losses from pieces of logits, %o",
  async (capabilities) => {
    const [n, length, d_vocab] = [2, 9, 203];
    const rows = n * length;
    bench = new KernelBench(withCapabilities(gpu, capabilities), { rows });
    const ids = Uint32Array.from({ length: rows }, (_, i) => (i * 31) % d_vocab);
    // From thousands below zero to thousands above it, in one row.
    const logits = normals(rows * d_vocab, 1).map((value, i) => value * (i % 5 === 0 ? 1000 : 1));
    const losses = bench.output(4 * rows);
    for (const { first, count } of [
      { first: 0, count: 64 },
      { first: 64, count: 64 },
      { first: 128, count: 75 },
    ]) {
      const piece = Float32Array.from({ length: rows * count }, (_, i) => {
        return logits[Math.floor(i / count) * d_vocab + first + (i % count)]!;
      });
      bench.run(
        await planLoss(
          bench.context,
          { rows, length, first, count, pitch: 4 * Math.ceil(count / 4) },
          { ids: bench.input(ids), logits: bench.rows(piece, count), losses },
        ),
      );
    }
    const sums = await bench.f32(losses);
    for (let t = 0; t < rows; t++) {
      const row = Array.from(logits.subarray(t * d_vocab, (t + 1) * d_vocab));
      const largest = Math.max(...row);
      const total = row.reduce((a, logit) => a + Math.exp(logit - largest), 0);
      expect(sums[4 * t]! + Math.log(sums[4 * t + 1]!), `token ${t}`).toBeCloseTo(
        largest + Math.log(total),
        3,
      );
      if (t % length < length - 1) expect(sums[4 * t + 2]).toBe(row[ids[t + 1]!]);
    }
  },
);

describe.each([
  { variant: "quads", capabilities: {} },
  { variant: "flat", capabilities: { subgroup_min_size: 0 } },
])("products with stored weights, $variant", ({ capabilities }) => {
  test.each(
    (["f16", "int8"] as const).flatMap((stored) => [
      { stored, rows: 13, inputs: 37, outputs: 71, biased: true },
      { stored, rows: 1, inputs: 130, outputs: 5, biased: false },
    ]),
  )("$stored, $rows rows, $inputs to $outputs", async ({ stored, rows, inputs, outputs, biased }) => {
    bench = new KernelBench(withCapabilities(gpu, capabilities), { rows });
    const [x, b] = [normals(rows * inputs, 1), normals(outputs, 3)];
    // Rows of very different sizes.
    const W = normals(outputs * inputs, 2).map((w, i) => w * 10 ** ((Math.floor(i / inputs) % 7) - 3));
    const pitch = 4 * Math.ceil(inputs / 4);
    const padded = new Float32Array(outputs * pitch);
    W.forEach((w, i) => {
      padded[Math.floor(i / inputs) * pitch + (i % inputs)] = w;
    });
    const { numbers, scales } = packRows(padded, pitch);
    const kept = W.map((w, i) => {
      const row = Math.floor(i / inputs);
      return stored === "f16" ? toHalf(w) : scales[row]! * numbers[row * pitch + (i % inputs)]!;
    });
    const [z, counters] = [bench.output(rows * outputs), bench.output(4)];
    bench.run(
      await planEncode(
        bench.context,
        { label: "linear", rows, d_sae: outputs, stride: pitch / 4, half: false, stored },
        {
          x: bench.rows(x, inputs),
          W:
            stored === "f16"
              ? bench.halves(W.map(toHalf), inputs)
              : bench.input(new Uint32Array(numbers.buffer)),
          scales: stored === "int8" ? bench.input(scales) : null,
          bias: biased ? { buffer: bench.input(b) } : null,
          z,
          counters,
        },
      ),
    );
    const [ofKept, ofExact] = [new Float64Array(rows * outputs), new Float64Array(rows * outputs)];
    const [summing, rounding] = [new Float64Array(rows * outputs), new Float64Array(rows * outputs)];
    for (let t = 0; t < rows; t++) {
      for (let f = 0; f < outputs; f++) {
        const at = t * outputs + f;
        const own = W.subarray(f * inputs, (f + 1) * inputs);
        const largest = own.reduce((most, w) => Math.max(most, Math.abs(w)), 0);
        let sizes = 0;
        own.forEach((w, i) => {
          const input = x[t * inputs + i]!;
          ofExact[at]! += w * input;
          ofKept[at]! += kept[f * inputs + i]! * input;
          sizes += Math.abs(kept[f * inputs + i]! * input);
          // gpu/lm/precision.ts.
          rounding[at]! +=
            Math.abs(input) * (stored === "f16" ? 2 ** -11 * Math.abs(w) + 2 ** -25 : largest / 253);
        });
        for (const sum of [ofExact, ofKept]) sum[at]! += biased ? b[f]! : 0;
        // One rounding a product, one a sum, and in int8 that of the scale's product.
        summing[at] = gamma(inputs + 2) * (sizes + (biased ? Math.abs(b[f]!) : 0));
      }
    }
    const actual = await bench.f32(z, rows * outputs);
    expect(worst(actual, ofKept, (i) => summing[i]!)).toBeLessThan(1);
    expect(worst(actual, ofExact, (i) => summing[i]! + rounding[i]!)).toBeLessThan(1);
    expect(worst(ofKept, ofExact, (i) => rounding[i]!)).toBeGreaterThan(0.01);
    expect((await bench.u32(counters))[0]).toBe(0);
  });
});
