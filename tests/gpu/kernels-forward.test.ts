import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { controlBytes, divergedStep } from "../../gpu/kernels/control.ts";
import { planDecode } from "../../gpu/kernels/decode.ts";
import { planEncode } from "../../gpu/kernels/encode.ts";
import { planFindDead } from "../../gpu/kernels/find-dead.ts";
import { planPrepare } from "../../gpu/kernels/prepare.ts";
import { planSelect } from "../../gpu/kernels/select.ts";
import { RandomStream } from "../../gpu/sae/random.ts";
import { largest } from "../reference/topk.ts";
import { dotBound, KernelBench, normals, worst } from "./kernel-bench.ts";

let gpu: Gpu;
let bench: KernelBench;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterEach(() => bench.close());
afterAll(() => gpu.close());

const norm = (values: Float32Array) => Math.hypot(...values);
const range = (count: number) => Array.from({ length: count }, (_, i) => i);

test.each([true, false])("prepare scales and pads; subtracting b_dec: %s", async (subtract) => {
  const [rows, d_in] = [37, 65];
  bench = new KernelBench(gpu, { rows, activation_scale: 1.5 });
  const raw = normals(rows * d_in, 1);
  const b_dec = normals(d_in, 2);
  const x = bench.output(rows * 68);
  const buffers = { raw: bench.input(raw), x, b_dec: subtract ? bench.rows(b_dec, d_in) : null };
  bench.run(await planPrepare(bench.context, { rows, d_in, stride: 17 }, buffers));
  const expected = Float64Array.from(raw, (value, i) => 1.5 * value - (subtract ? b_dec[i % d_in]! : 0));
  expect(
    worst(await bench.readRows(x, rows, d_in), expected, (i) => 2 ** -22 * (1 + Math.abs(expected[i]!))),
  ).toBeLessThan(1);
});

describe.each([
  ["quads", 4],
  ["flat", 0],
])("encode, %s", (_name, subgroup_min_size) => {
  const variant = (): Gpu => ({
    device: gpu.device,
    ledger: gpu.ledger,
    pipelines: gpu.pipelines,
    lost: gpu.lost,
    uncapturedError: () => gpu.uncapturedError(),
    close: () => gpu.close(),
    capabilities: { ...gpu.capabilities, subgroup_min_size },
  });

  test.each([
    [37, 65, 129],
    [1, 1, 1],
    [65, 4, 64],
    [8, 130, 67],
  ])("%i tokens of width %i to %i features meets the bound", async (rows, d_in, d_sae) => {
    bench = new KernelBench(variant(), { rows });
    const stride = Math.ceil(d_in / 4);
    const [x, W, b] = [normals(rows * d_in, 1), normals(d_sae * d_in, 2), normals(d_sae, 3)];
    const z = bench.output(rows * d_sae);
    const counters = bench.output(4);
    const buffers = {
      x: bench.rows(x, d_in),
      W_enc: bench.rows(W, d_in),
      b_enc: bench.input(b),
      z,
      counters,
    };
    bench.run(await planEncode(bench.context, { d_in, d_sae, stride, first_row: 0, rows }, buffers));
    const expected = new Float64Array(rows * d_sae);
    const bounds = new Float64Array(rows * d_sae);
    for (let t = 0; t < rows; t++) {
      const x_t = x.subarray(t * d_in, (t + 1) * d_in);
      for (let f = 0; f < d_sae; f++) {
        const w = W.subarray(f * d_in, (f + 1) * d_in);
        let sum = b[f]!;
        for (let i = 0; i < d_in; i++) sum += x_t[i]! * w[i]!;
        expected[t * d_sae + f] = sum;
        bounds[t * d_sae + f] = dotBound(d_in + 1) * Math.hypot(norm(x_t), 1) * Math.hypot(norm(w), b[f]!);
      }
    }
    expect(worst(await bench.f32(z, rows * d_sae), expected, (i) => bounds[i]!)).toBeLessThan(1);
    expect((await bench.u32(counters))[2]).toBe(0);
  });

  test("a chunk, cut short by the batch, leaves the rest of z alone", async () => {
    const [d_in, d_sae] = [3, 5];
    bench = new KernelBench(variant(), { rows: 13 });
    const x = normals(20 * d_in, 1);
    const W = normals(d_sae * d_in, 2);
    const z = bench.input(new Float32Array(10 * d_sae).fill(7));
    const buffers = {
      x: bench.rows(x, d_in),
      W_enc: bench.rows(W, d_in),
      b_enc: bench.output(d_sae),
      z,
      counters: bench.output(4),
    };
    bench.run(await planEncode(bench.context, { d_in, d_sae, stride: 1, first_row: 10, rows: 10 }, buffers));
    const actual = await bench.f32(z);
    for (let t = 0; t < 10; t++) {
      for (let f = 0; f < d_sae; f++) {
        let sum = 0;
        for (let i = 0; i < d_in; i++) sum += x[(10 + t) * d_in + i]! * W[f * d_in + i]!;
        expect(actual[t * d_sae + f]).toBeCloseTo(t < 3 ? sum : 7, 5);
      }
    }
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    "marks the first step with %s",
    async (bad) => {
      const [rows, d_in, d_sae] = [9, 5, 70];
      bench = new KernelBench(variant(), { rows, number: 12 });
      const x = normals(rows * d_in, 1);
      x[8 * d_in + 4] = bad;
      const counters = bench.output(4);
      const buffers = {
        x: bench.rows(x, d_in),
        W_enc: bench.rows(normals(d_sae * d_in, 2), d_in),
        b_enc: bench.output(d_sae),
        z: bench.output(rows * d_sae),
        counters,
      };
      const encode = await planEncode(bench.context, { d_in, d_sae, stride: 2, first_row: 0, rows }, buffers);
      bench.run(encode);
      bench.setStep({ rows, number: 13 });
      bench.run(encode);
      expect(divergedStep((await bench.u32(counters))[2]!)).toBe(12);
    },
  );
});

/** z with what selections trip over: ties, signed zeros, tiny and huge values, all-negative rows. */
function awkward(rows: number, d_sae: number): Float32Array<ArrayBuffer> {
  const random = new RandomStream(8);
  const kinds = [
    () => random.normal(),
    () => Math.round(random.normal()),
    () => -1 - random.uniform(),
    () => 2,
    () => random.normal() * 10 ** (random.uniform() * 60 - 30),
    () => (random.u32() % 2 === 0 ? 0 : -0),
  ];
  return Float32Array.from({ length: rows * d_sae }, (_, i) =>
    kinds[Math.floor(i / d_sae) % kinds.length]!(),
  );
}

/** Order of the integer keys: as numbers, and −0 below 0. */
function keys(values: Float32Array): Float64Array {
  return Float64Array.from(values, (v) => {
    const bits = new Uint32Array(Float32Array.of(v).buffer)[0]!;
    return bits >>> 31 === 1 ? 0xffffffff - bits : bits + 2 ** 31;
  });
}

describe("select", () => {
  test.each([
    [37, 129, 5],
    [13, 1, 1],
    [7, 65, 1],
    [12, 66, 66],
    [6, 1000, 40],
    [70, 33, 32],
  ])("%i tokens, %i features, k = %i: the exact set of z", async (rows, d_sae, k) => {
    bench = new KernelBench(gpu, { rows });
    const z = awkward(rows, d_sae);
    const [indices, values, words] = [
      bench.output(rows * k),
      bench.output(rows * k),
      bench.output(Math.ceil(rows / 32) * d_sae),
    ];
    const buffers = { z: bench.input(z), indices, values, active_words: words, aux: null };
    bench.run(await planSelect(bench.context, { d_sae, k, first_row: 0, rows }, buffers));
    const expectedWords = new Uint32Array(Math.ceil(rows / 32) * d_sae);
    const [actualIndices, actualValues] = [await bench.u32(indices), await bench.f32(values)];
    for (let t = 0; t < rows; t++) {
      const row = z.subarray(t * d_sae, (t + 1) * d_sae);
      const expected = largest(keys(row), range(d_sae), k);
      expect([...actualIndices.subarray(t * k, (t + 1) * k)], `token ${t}`).toEqual(expected);
      // Subnormals may be flushed; adding 0 turns −0 into 0.
      const rectified = expected.map((f) => Math.max(row[f]!, 0) + 0);
      expect([...actualValues.subarray(t * k, (t + 1) * k)].map((v) => v + 0)).toEqual(rectified);
      for (const f of expected) {
        if (row[f]! > 0) expectedWords[(t >> 5) * d_sae + f]! += 2 ** (t % 32);
      }
    }
    expect([...(await bench.u32(words, expectedWords.length))]).toEqual([...expectedWords]);
  });

  test.each([
    { dead: [4] },
    { dead: [0, 2, 3, 50, 128] },
    { dead: range(129) },
    { dead: range(64).map((i) => 2 * i) },
  ])(
    "AuxK takes only dead features, negative ones too, and no more than there are: $dead",
    async ({ dead }) => {
      const [rows, d_sae, k] = [37, 129, 8];
      bench = new KernelBench(gpu, { rows });
      const k_aux = Math.min(k, dead.length);
      const z = awkward(rows, d_sae);
      const [indices, values, words] = [
        bench.output(rows * k),
        bench.output(rows * k),
        bench.output(2 * d_sae),
      ];
      const aux = {
        dead: bench.input(Uint32Array.from(dead)),
        control: bench.input(Uint32Array.of(dead.length, k_aux, 0, 0, 0, 0, 0, 0)),
      };
      const buffers = { z: bench.input(z), indices, values, active_words: words, aux };
      bench.run(await planSelect(bench.context, { d_sae, k, first_row: 0, rows }, buffers));
      const [actualIndices, actualValues] = [await bench.u32(indices), await bench.f32(values)];
      let active = 0;
      for (let t = 0; t < rows; t++) {
        const row = z.subarray(t * d_sae, (t + 1) * d_sae);
        const expected = largest(keys(row), dead, k_aux);
        expect([...actualIndices.subarray(t * k, t * k + k_aux)]).toEqual(expected);
        expect([...actualValues.subarray(t * k, t * k + k_aux)].map((v) => v + 0)).toEqual(
          expected.map((f) => row[f]! + 0),
        );
        active += expected.length;
      }
      const bits = (await bench.u32(words)).reduce(
        (sum, word) => sum + word.toString(2).replaceAll("0", "").length,
        0,
      );
      expect(bits).toBe(active);
    },
  );

  test("a later chunk writes its own tokens, none beyond the batch", async () => {
    const [d_sae, k] = [20, 3];
    bench = new KernelBench(gpu, { rows: 36 });
    const z = awkward(10, d_sae);
    const [indices, values, words] = [
      bench.input(new Uint32Array(40 * k).fill(99)),
      bench.output(40 * k),
      bench.output(2 * d_sae),
    ];
    const buffers = { z: bench.input(z), indices, values, active_words: words, aux: null };
    bench.run(await planSelect(bench.context, { d_sae, k, first_row: 30, rows: 10 }, buffers));
    const actual = await bench.u32(indices);
    for (let t = 0; t < 40; t++) {
      const row = z.subarray((t - 30) * d_sae, (t - 29) * d_sae);
      const expected = t >= 30 && t < 36 ? largest(keys(row), range(d_sae), k) : [99, 99, 99];
      expect([...actual.subarray(t * k, (t + 1) * k)]).toEqual(expected);
    }
  });
});

describe("decode", () => {
  test.each([
    [37, 65, 129, 5, false],
    [1, 1, 3, 1, true],
    [33, 130, 20, 20, true],
    [5, 32, 64, 9, false],
  ])(
    "%i tokens of width %i, %i features, k = %i, adding b_dec: %s",
    async (rows, d_in, d_sae, k, addBias) => {
      bench = new KernelBench(gpu, { rows });
      const stride = Math.ceil(d_in / 4);
      const random = new RandomStream(4);
      const [x, W, b_dec] = [normals(rows * d_in, 1), normals(d_sae * d_in, 2), normals(d_in, 3)];
      const indices = Uint32Array.from({ length: rows * k }, () => random.u32() % d_sae);
      // A third of the slots are selected but inactive.
      const values = Float32Array.from({ length: rows * k }, (_, i) => (i % 3 === 2 ? 0 : random.uniform()));
      const [gradients, errors] = [bench.output(rows * k), bench.output(rows * 4 * stride)];
      bench.run(
        await planDecode(
          bench.context,
          { rows, d_in, stride, k },
          {
            W_dec: bench.rows(W, d_in),
            indices: bench.input(indices),
            values: bench.input(values),
            gradients,
            errors,
            target: { x: bench.rows(x, d_in), b_dec: addBias ? bench.rows(b_dec, d_in) : null },
          },
        ),
      );
      const actualErrors = await bench.readRows(errors, rows, d_in);
      const expected = new Float64Array(rows * d_in);
      const size = new Float64Array(rows * d_in);
      for (let t = 0; t < rows; t++) {
        for (let i = 0; i < d_in; i++) {
          const terms = [-x[t * d_in + i]!, addBias ? b_dec[i]! : 0];
          for (let j = 0; j < k; j++) terms.push(values[t * k + j]! * W[indices[t * k + j]! * d_in + i]!);
          expected[t * d_in + i] = terms.reduce((a, b) => a + b);
          size[t * d_in + i] = terms.reduce((a, b) => a + Math.abs(b), 0);
        }
      }
      expect(worst(actualErrors, expected, (i) => dotBound(k + 2) * size[i]!)).toBeLessThan(1);
      const slope = new Float64Array(rows * k);
      const bounds = new Float64Array(rows * k);
      for (let slot = 0; slot < rows * k; slot++) {
        if (values[slot]! <= 0) continue;
        const e = actualErrors.subarray(Math.floor(slot / k) * d_in, (Math.floor(slot / k) + 1) * d_in);
        const w = W.subarray(indices[slot]! * d_in, (indices[slot]! + 1) * d_in);
        for (let i = 0; i < d_in; i++) slope[slot]! += (2 / rows) * e[i]! * w[i]!;
        bounds[slot] = (2 / rows) * dotBound(d_in + 1) * norm(e) * norm(w);
      }
      expect(worst(await bench.f32(gradients, rows * k), slope, (i) => bounds[i]!)).toBeLessThan(1);
    },
  );

  test("AuxK decodes onto the error, scaled, in the errors' second half, without a mask", async () => {
    const [rows, d_in, d_sae, k, k_aux, scale] = [11, 10, 17, 4, 3, 0.25];
    bench = new KernelBench(gpu, { rows });
    const random = new RandomStream(4);
    const W = normals(d_sae * d_in, 2);
    const e = normals(rows * d_in, 3);
    const indices = Uint32Array.from({ length: rows * k }, () => random.u32() % d_sae);
    const values = normals(rows * k, 6);
    const control = new DataView(new ArrayBuffer(controlBytes));
    control.setUint32(4, k_aux, true);
    control.setFloat32(8, scale, true);
    const both = new Float32Array(2 * rows * d_in);
    both.set(e);
    const [gradients, errors] = [bench.output(rows * k), bench.rows(both, d_in)];
    bench.run(
      await planDecode(
        bench.context,
        { rows, d_in, stride: 3, k },
        {
          W_dec: bench.rows(W, d_in),
          indices: bench.input(indices),
          values: bench.input(values),
          gradients,
          errors,
          target: { control: bench.input(new Uint32Array(control.buffer)) },
        },
      ),
    );
    const actual = await bench.readRows(errors, 2 * rows, d_in);
    expect(actual.subarray(0, rows * d_in)).toEqual(e);
    const aux = actual.subarray(rows * d_in);
    const slopes = await bench.f32(gradients);
    for (let t = 0; t < rows; t++) {
      for (let i = 0; i < d_in; i++) {
        let sum = e[t * d_in + i]!;
        for (let j = 0; j < k_aux; j++) sum += values[t * k + j]! * W[indices[t * k + j]! * d_in + i]!;
        expect(aux[t * d_in + i]).toBeCloseTo(scale * sum, 5);
      }
      for (let j = 0; j < k; j++) {
        let slope = 0;
        for (let i = 0; i < d_in; i++)
          slope += (2 / rows) * aux[t * d_in + i]! * W[indices[t * k + j]! * d_in + i]!;
        expect(slopes[t * k + j]).toBeCloseTo(j < k_aux ? slope : 0, 5);
      }
    }
  });
});

test.each([
  ["none", [], 5],
  ["one", [128], 1],
  ["fewer than k_aux", [0, 64, 65], 3],
  ["all", range(129), 5],
])("find_dead, %s dead", async (_name, dead: number[], k_aux) => {
  const [d_sae, window, nominal] = [129, 1000, 5];
  bench = new KernelBench(gpu);
  // At the window a feature is still alive.
  const ages = new Uint32Array(d_sae).fill(window);
  for (const f of dead) ages[f] = f % 2 === 0 ? 1001 : 0xffffffff;
  const [list, control, grids] = [bench.output(d_sae), bench.output(controlBytes / 4), bench.output(6)];
  bench.run(
    await planFindDead(
      bench.context,
      { d_sae, window, k_aux: nominal, coefficient: 0.5, dispatches: 2 },
      {
        tokens_since_fired: bench.input(ages),
        dead: list,
        control,
        planned_grids: bench.input(Uint32Array.of(7, 1, 1, 9, 2, 1)),
        grids,
      },
    ),
  );
  expect([...(await bench.u32(list, d_sae))].slice(0, dead.length)).toEqual(dead);
  expect([...(await bench.u32(control, 2))]).toEqual([dead.length, Math.min(dead.length, k_aux)]);
  expect((await bench.f32(control))[2]).toBeCloseTo(0.5 * Math.min(1, dead.length / nominal), 6);
  expect([...(await bench.u32(grids, 6))]).toEqual(dead.length > 0 ? [7, 1, 1, 9, 2, 1] : [0, 0, 0, 0, 0, 0]);
});
