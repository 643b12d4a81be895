import { afterAll, beforeAll, expect, test } from "vitest";
import { lmSpec, standardLmCases } from "../../bench/lm-cases.ts";
import { hasTorch, timeTorch } from "../../bench/peer-torch.ts";
import { measureRoofs } from "../../bench/probes.ts";
import { randomWeights } from "../../bench/random-weights.ts";
import { runSuite } from "../../bench/suite.ts";
import { formatSuite } from "../../bench/table.ts";
import { bind } from "../../gpu/device/bind.ts";
import { bufferUsage } from "../../gpu/device/constants.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { readFloat32 } from "../../gpu/device/readback.ts";
import { canonicalWeights } from "../../gpu/lm/canonical-weights.ts";
import { familyWeights } from "../../gpu/lm/families/index.ts";
import { findWeight } from "../../gpu/lm/load-weights.ts";

const { STORAGE, COPY_SRC, COPY_DST } = bufferUsage;

let gpu: Gpu;

beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});

afterAll(() => {
  expect(gpu.uncapturedError()).toBeNull();
  gpu.close();
});

test("the copy probe copies every element, with fewer workgroups than blocks", async () => {
  const data = Float32Array.from({ length: 5 * 1024 }, (_, i) => i + 1);
  const source = gpu.ledger.allocate("source", data.byteLength, STORAGE | COPY_DST);
  const destination = gpu.ledger.allocate("destination", data.byteLength, STORAGE | COPY_SRC);
  gpu.device.queue.writeBuffer(source, 0, data);
  const pipeline = await gpu.pipelines.compute({ shader: "probe_copy" });
  const encoder = gpu.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bind(gpu.device, pipeline, [source, destination]));
  pass.dispatchWorkgroups(2);
  pass.end();
  gpu.device.queue.submit([encoder.finish()]);
  expect(await readFloat32(gpu, destination)).toEqual(data);
  gpu.ledger.free(source);
  gpu.ledger.free(destination);
});

test("the roofs are measured as often as asked, are of a machine's size, and take no memory for good", async () => {
  const held = gpu.ledger.used;
  const roofs = await measureRoofs(gpu, 2, true);
  for (const samples of Object.values(roofs)) {
    expect(samples.length).toBe(2);
    for (const rate of samples) {
      expect(rate).toBeGreaterThan(1e7);
      expect(rate).toBeLessThan(1e15);
    }
  }
  expect(gpu.ledger.used).toBe(held);
});

test("a quick suite measures its case end to end and gives all memory back", async () => {
  const held = gpu.ledger.used;
  const lines: string[] = [];
  const suite = await runSuite(gpu, { quick: true, cases: null, lm: [] }, (line) => lines.push(line));
  expect(gpu.ledger.used).toBe(held);
  expect(lines).toContain("case 1 of 1: topk, d_in 32, d_sae 64, k 4, batch 512");
  const [result] = suite.cases;
  expect(result?.tokens_per_second.n).toBe(3);
  expect(result!.tokens_per_second.median).toBeCloseTo(result!.steps_per_second.median * 512, 3);
  expect(result!.gpu_bytes).toBeGreaterThan(held);
  const encode = result!.kernels.find(({ label }) => label === "encode");
  expect(encode).toMatchObject({ calls: 1, flops: 2 * 512 * 32 * 64 });
  expect(encode!.percent_of_roof).toBeGreaterThan(0);
  // The kernels' sum and the whole step are measured apart, and must tell one story.
  const stepMs = 1000 / result!.steps_per_second.median;
  expect(result!.kernels_ms).toBeGreaterThan(stepMs / 5);
  expect(result!.kernels_ms).toBeLessThan(stepMs * 5);
  const text = formatSuite(suite);
  expect(text).toContain("A quick run");
  for (const { label } of result!.kernels) expect(text).toContain(label);
});

test("a quick suite measures a forward pass to the last block, against the roof of the same run", async () => {
  const held = gpu.ledger.used;
  const suite = await runSuite(gpu, { quick: true, cases: [], lm: null }, () => null);
  expect(gpu.ledger.used).toBe(held);
  expect(suite.cases).toEqual([]);
  const [result] = suite.lm;
  expect(suite.lm).toHaveLength(1);
  const [d_model, n_layers, length] = [64, 2, 32];
  const tokens = result!.passes_per_repetition * 2 * length;
  expect(tokens).toBeGreaterThan(0);
  // Matrices alone, then what attention, norms and the MLP's function take besides.
  const matrices = 2 * 12 * d_model ** 2 * n_layers;
  expect(result!.flops_per_token).toBeGreaterThan(matrices);
  expect(result!.flops_per_token).toBeLessThan(1.3 * matrices);
  const products = result!.kernels.filter(({ label }) => label.startsWith("linear "));
  expect(products.reduce((sum, { flops }) => sum + flops, 0)).toBe(matrices * 2 * length);
  expect(result!.percent_of_roof).toBeCloseTo(
    (100 * result!.flops_per_token * result!.tokens_per_second.median) /
      suite.roofs.fma_flops_per_second.median,
    6,
  );
  const text = formatSuite(suite);
  expect(text).toContain("gpt2 tiny");
  for (const { label } of result!.kernels) expect(text).toContain(label);
});

test("random weights are the same at every reading, whatever the slices, and fit each standard case", async () => {
  const cases = [true, false].flatMap((software) => standardLmCases(software, false));
  for (const spec of cases.map(lmSpec)) {
    const source = randomWeights(spec);
    const names = familyWeights(spec);
    for (const weight of canonicalWeights(spec)) {
      findWeight(source, names, { weight, first: 0, rows: weight.rows });
    }
    const [matrix] = [...source.names].filter((name) => source.shape(name).length === 2);
    const whole = await source.rows(matrix!, 5, 3);
    expect(await source.rows(matrix!, 6, 2)).toEqual(whole.slice(source.shape(matrix!)[1]!));
    expect(new Set(whole).size).toBeGreaterThan(100);
  }
});

test("torch is asked for, and a Python without it is told apart", () => {
  expect(hasTorch("a-python-that-is-not-there")).toBe(false);
  const [one] = standardLmCases(true, true);
  expect(() => timeTorch("a-python-that-is-not-there", one!, 1)).toThrow();
});

test("torch times the same blocks, where there is a torch", ({ skip }) => {
  if (!hasTorch("python3")) skip("python3 has no torch.");
  const [one] = standardLmCases(true, true);
  const { tokens_per_second, threads } = timeTorch("python3", one!, 2);
  expect(tokens_per_second.n).toBe(2);
  expect(threads).toBeGreaterThan(0);
});
