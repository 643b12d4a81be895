import { afterAll, beforeAll, expect, it } from "vitest";
import type { RowReader } from "../../gpu/data/shuffle.ts";
import type { BatchStream, OpenSource } from "../../gpu/data/source.ts";
import { StoredSource } from "../../gpu/data/stored-rows.ts";
import { bufferUsage } from "../../gpu/device/constants.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { readFloat32 } from "../../gpu/device/readback.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ adapter: "software", robust: true });
});
afterAll(() => gpu.close());

const d_in = 5;
const rows = 32;

function source(memoryBudgetBytes: number): StoredSource {
  const reader: RowReader = {
    n_rows: 300,
    d_in,
    read: (start, count) =>
      Promise.resolve(Float32Array.from({ length: count * d_in }, (_, index) => start * d_in + index)),
  };
  return new StoredSource(reader, { seed: 3, memoryBudgetBytes });
}

async function upload(open: OpenSource, target: GPUBuffer, stream: BatchStream, batch: number) {
  await open.ready(stream, batch, rows);
  const encoder = gpu.device.createCommandEncoder();
  open.encodeBatch(encoder, target, stream, batch, rows);
  gpu.device.queue.submit([encoder.finish()]);
  return readFloat32(gpu, target);
}

it("puts the very rows of each batch on the GPU, whatever else is asked in between", async () => {
  for (const budget of [1 << 20, 1 << 11]) {
    const stored = source(budget);
    const open = await stored.open(gpu, rows);
    const usage = bufferUsage.STORAGE | bufferUsage.COPY_SRC | bufferUsage.COPY_DST;
    const target = gpu.ledger.allocate("x", rows * d_in * 4, usage);
    const calls: [BatchStream, number][] = [
      ["training", 0],
      ["training", 1],
      ["evaluation", 0],
      ["evaluation", 1],
      ["training", 2],
      ["training", 40],
      ["training", 41],
    ];
    for (const [stream, batch] of calls) {
      const wanted = new Float32Array(rows * d_in);
      await source(budget).batch(stream, batch, wanted);
      expect(await upload(open, target, stream, batch)).toEqual(wanted);
    }
    expect(() => open.encodeBatch(gpu.device.createCommandEncoder(), target, "training", 7, rows)).toThrow(
      "before it was ready",
    );
    await expect(open.ready("training", 0, rows + 1)).rejects.toThrow(RangeError);
    open.close();
    gpu.ledger.free(target);
  }
});
