import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { histogramBytes, planBatchSelect, selectionBytes } from "../../gpu/kernels/batch-select.ts";
import { planSelect, type SelectBuffers, type SelectShape } from "../../gpu/kernels/select.ts";
import { RandomStream } from "../../gpu/sae/random.ts";
import { largest } from "../reference/oracle.ts";
import { asHardware, KernelBench } from "./kernel-bench.ts";
import { bitPlane, normals, packControl, range } from "./kernel-data.ts";

let gpu: Gpu;
let bench: KernelBench;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterEach(() => bench.close());
afterAll(() => gpu.close());

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

/** z times the feature's norm, rounded as a product in f32 is. */
function ranked(z: Float32Array, norms: Float32Array | null): Float32Array {
  return norms === null ? z : z.map((value, i) => value * norms[i % norms.length]!);
}

/** Norms of very different size, and one of zero. */
function someNorms(d_sae: number): Float32Array<ArrayBuffer> {
  return normals(d_sae, 9).map((value, f) => (f === 3 ? 0 : value ** 2));
}

describe("select", () => {
  const guard = 0xdeadbeef;

  /** Runs the kernel on three planes of bits, of which it may touch the middle one. */
  async function select(
    z: Float32Array<ArrayBuffer>,
    shape: Omit<SelectShape, "plane">,
    list: SelectBuffers["list"],
    norms: Float32Array<ArrayBuffer> | null,
  ) {
    const { rows, d_sae, capacity } = shape;
    const plane = Math.ceil(rows / 32) * d_sae;
    const words = bench.input(new Uint32Array(3 * plane).fill(guard).fill(0, plane, 2 * plane));
    const indices = bench.input(new Uint32Array(rows * capacity).fill(guard));
    const buffers = { z: bench.input(z), indices, words, list, norms: norms && bench.input(norms) };
    bench.run(await planSelect(bench.context, { ...shape, plane }, buffers));
    const planes = await bench.u32(words);
    expect(planes.subarray(0, plane).every((word) => word === guard)).toBe(true);
    expect(planes.subarray(2 * plane, 3 * plane).every((word) => word === guard)).toBe(true);
    return { indices: await bench.u32(indices), words: planes.subarray(plane, 2 * plane) };
  }

  test.each([
    { rows: 65, d_sae: 129, k: 5, factor: 1, rescaled: false, hardware: false },
    { rows: 13, d_sae: 1, k: 1, factor: 1, rescaled: false, hardware: false },
    { rows: 7, d_sae: 65, k: 1, factor: 1, rescaled: false, hardware: false },
    { rows: 12, d_sae: 66, k: 66, factor: 1, rescaled: false, hardware: false },
    { rows: 6, d_sae: 1000, k: 40, factor: 1, rescaled: false, hardware: false },
    { rows: 70, d_sae: 33, k: 32, factor: 1, rescaled: false, hardware: false },
    { rows: 37, d_sae: 129, k: 3, factor: 4, rescaled: false, hardware: false },
    { rows: 6, d_sae: 10, k: 3, factor: 4, rescaled: false, hardware: false },
    { rows: 65, d_sae: 129, k: 5, factor: 1, rescaled: true, hardware: false },
    { rows: 6, d_sae: 1000, k: 40, factor: 1, rescaled: false, hardware: true },
  ])(
    "$factor × $k of $d_sae features, $rows tokens, rescaled: $rescaled, on hardware: $hardware",
    async (selection) => {
      const { rows, d_sae, k, factor, rescaled, hardware } = selection;
      const norms = rescaled ? someNorms(d_sae) : null;
      // One token more than the batch has.
      bench = new KernelBench(hardware ? asHardware(gpu) : gpu, { rows, k });
      const z = awkward(rows + 1, d_sae);
      const chosen = Math.min(factor * k, d_sae);
      const capacity = chosen + 1;
      const counts = bench.output(rows + 1);
      const { indices, words } = await select(
        z,
        { rows: rows + 1, d_sae, capacity, factor },
        { counts },
        norms,
      );
      const order = ranked(z, norms);
      const expected = range(rows).map((t) =>
        largest(keys(order.subarray(t * d_sae, (t + 1) * d_sae)), range(d_sae), chosen),
      );
      for (let t = 0; t <= rows; t++) {
        const list = [...indices.subarray(t * capacity, (t + 1) * capacity)];
        expect(list, `token ${t}`).toEqual(
          t < rows ? [...expected[t]!, guard] : new Array(capacity).fill(guard),
        );
      }
      expect([...(await bench.u32(counts, rows + 1))]).toEqual([...new Array(rows).fill(chosen), 0]);
      const active = (t: number, f: number) => t < rows && expected[t]!.includes(f) && z[t * d_sae + f]! > 0;
      expect(words).toEqual(bitPlane(rows + 1, d_sae, active));
    },
  );

  test("equal values at the k-th place go to the lower features, whatever lane they are in", async () => {
    const [rows, d_sae, k] = [5, 77, 20];
    bench = new KernelBench(gpu, { rows, k });
    // Five above, 60 equal, 12 below.
    const z = Float32Array.from({ length: rows * d_sae }, (_, i) => {
      const place = ((i % d_sae) * 31 + Math.floor(i / d_sae)) % d_sae;
      return place < 5 ? 3 + place : place < 65 ? 1.5 : -place;
    });
    const { indices } = await select(
      z,
      { rows, d_sae, capacity: k, factor: 1 },
      { counts: bench.output(rows) },
      null,
    );
    for (let t = 0; t < rows; t++) {
      const row = z.subarray(t * d_sae, (t + 1) * d_sae);
      expect([...indices.subarray(t * k, (t + 1) * k)]).toEqual(largest(row, range(d_sae), k));
    }
  });

  test.each([
    { dead: [4], among: 1, level: 0, rescaled: false },
    { dead: [0, 2, 3, 50, 128], among: 5, level: 1, rescaled: false },
    { dead: range(129), among: 129, level: 2, rescaled: false },
    { dead: range(64).map((i) => 2 * i), among: 64, level: 0, rescaled: true },
    // The dead features of a smaller dictionary are the first ones of the list.
    { dead: range(60).map((i) => 2 * i), among: 17, level: 3, rescaled: false },
    { dead: range(60), among: 0, level: 1, rescaled: false },
  ])(
    "AuxK takes $among of the dead features, negative ones too, at level $level, rescaled: $rescaled",
    async ({ dead, among, level, rescaled }) => {
      const [rows, d_sae, capacity] = [37, 129, 8];
      bench = new KernelBench(gpu, { rows, k: 3 });
      const k = Math.min(capacity, among);
      const z = awkward(rows, d_sae);
      const norms = rescaled ? someNorms(d_sae) : null;
      const aux = range(4).map((own) => ({
        n_dead: own === level ? among : 1,
        k: own === level ? k : 1,
        scale: 0,
      }));
      const list = {
        dead: bench.input(Uint32Array.from(dead)),
        control: bench.input(packControl(d_sae, { n_dead: dead.length, aux })),
        level,
      };
      // The factor is TopK's own.
      const { indices, words } = await select(z, { rows, d_sae, capacity, factor: 2 }, list, norms);
      const order = ranked(z, norms);
      const expected = range(rows).map((t) =>
        largest(keys(order.subarray(t * d_sae, (t + 1) * d_sae)), dead.slice(0, among), k),
      );
      for (let t = 0; t < rows; t++) {
        expect([...indices.subarray(t * capacity, t * capacity + k)]).toEqual(expected[t]);
      }
      expect(words).toEqual(bitPlane(rows, d_sae, (t, f) => expected[t]!.includes(f)));
    },
  );
});

describe("batch_select", () => {
  const bitsOf = (value: number) => new Uint32Array(Float32Array.of(value).buffer)[0]!;

  /** The key of the smallest of the K largest positive numbers, and how many that equal it are among the K. */
  function expectedSelection(order: Float32Array, K: number): { key: number; wanted: number } {
    const positive = order.filter((value) => value > 0).sort((a, b) => b - a);
    const smallest = positive[Math.min(K, positive.length) - 1];
    if (smallest === undefined) return { key: 0xffffffff, wanted: 0 };
    const above = positive.filter((value) => value > smallest).length;
    return { key: bitsOf(smallest), wanted: Math.min(K, positive.length) - above };
  }

  /** The selection for each K. */
  async function choose(
    z: Float32Array<ArrayBuffer>,
    { rows, d_sae, norms }: { rows: number; d_sae: number; norms: Float32Array<ArrayBuffer> | null },
    Ks: readonly number[],
  ) {
    const [histograms, selection] = [bench.output(histogramBytes / 4), bench.output(selectionBytes / 4)];
    const planned = Math.ceil(z.length / d_sae);
    const dispatches = await planBatchSelect(
      bench.context,
      { rows: planned, d_sae },
      { z: bench.input(z), norms: norms && bench.input(norms), histograms, selection },
    );
    const chosen: { key: number; wanted: number }[] = [];
    for (const k of Ks) {
      bench.setStep({ rows, k });
      bench.clear(histograms);
      // Not cleared between steps; here, so that no choice is one that was left.
      bench.clear(selection);
      bench.run(...dispatches);
      const [wanted, key] = await bench.u32(selection, 2);
      chosen.push({ key: key!, wanted: wanted! });
    }
    return chosen;
  }

  test.each([
    { rescaled: false, hardware: false },
    { rescaled: true, hardware: false },
    { rescaled: false, hardware: true },
  ])("of the awkward values of a batch, %o", async ({ rescaled, hardware }) => {
    const [rows, d_sae] = [65, 129];
    bench = new KernelBench(hardware ? asHardware(gpu) : gpu);
    // Two tokens beyond the batch would win.
    const z = awkward(rows + 2, d_sae).fill(1e35, rows * d_sae);
    const norms = rescaled ? someNorms(d_sae) : null;
    const order = ranked(z.subarray(0, rows * d_sae), norms);
    const positive = order.filter((value) => value > 0).length;
    const Ks = [0, 1, 2, 7, 100, 400, 1000, 2000, positive - 1, positive, positive + 1, rows * d_sae];
    const chosen = await choose(z, { rows, d_sae, norms }, Ks);
    expect(chosen).toEqual(Ks.map((K) => expectedSelection(order, K)));
  });

  test("keys that differ in one digit alone, at both ends of its range", async () => {
    const base = bitsOf(1.5);
    const boundaries = [0, 1, 1 << 9, (1 << 10) - 1, 1 << 10, (1 << 19) + 5, (1 << 20) - 1, 1 << 20, 3 << 20];
    const words = Uint32Array.from([
      ...boundaries.map((step) => base + step),
      ...boundaries.map((step) => base - step),
      // The smallest normal number and the largest.
      0x00800000,
      0x7f7fffff,
    ]);
    const z = new Float32Array(words.buffer);
    bench = new KernelBench(gpu);
    const Ks = range(z.length + 1);
    const chosen = await choose(z, { rows: z.length, d_sae: 1, norms: null }, Ks);
    expect(chosen).toEqual(Ks.map((K) => expectedSelection(z, K)));
  });

  test("nothing positive: nothing is kept", async () => {
    bench = new KernelBench(gpu);
    const z = normals(3 * 7, 1).map((value, i) => (i % 3 === 0 ? 0 : i % 3 === 1 ? -0 : -Math.abs(value)));
    const chosen = await choose(z, { rows: 3, d_sae: 7, norms: null }, [0, 1, 21]);
    expect(chosen).toEqual(new Array(3).fill({ key: 0xffffffff, wanted: 0 }));
  });
});
