import { afterAll, beforeAll, expect, test } from "vitest";
import { measureRoofs } from "../../bench/probes.ts";
import { runSuite } from "../../bench/suite.ts";
import { formatSuite } from "../../bench/table.ts";
import { bind } from "../../gpu/device/bind.ts";
import { bufferUsage } from "../../gpu/device/constants.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { readFloat32 } from "../../gpu/device/readback.ts";

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
