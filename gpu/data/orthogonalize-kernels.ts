import { bufferUsage } from "../device/constants.ts";
import type { Gpu } from "../device/gpu.ts";
import { readFloat32 } from "../device/readback.ts";
import { adam, normalizeRows } from "./directions.ts";

/** Bytes of `Step` in shaders/orthogonalize.wgsl. */
const STEP_BYTES = 24;
/** Rows and columns of G that a workgroup makes: 8 by 8 blocks of 4 by 4. */
const columnsPerGroup = 32;
/** Steps between two waits, so that a software adapter's queue stays short and the thread free. */
const stepsPerWait = 4;

/**
 * `pushApart` of directions.ts in float32 on the GPU, where it takes seconds for dictionaries that would take the CPU
 * minutes. The same numbers every time on one adapter; between adapters and to float64 they differ by rounding.
 */
export async function pushApartOnGpu(
  gpu: Gpu,
  D: Float64Array,
  d: number,
  steps: number,
  lr: number,
): Promise<void> {
  const { device, ledger, pipelines } = gpu;
  const n = D.length / d;
  const rowQuads = Math.ceil(n / 4);
  const quads = Math.ceil(d / 4);
  const [gram, step] = await Promise.all([
    pipelines.compute({ shader: "orthogonalize", entryPoint: "gram" }),
    pipelines.compute({ shader: "orthogonalize", entryPoint: "step" }),
  ]);
  const bytes = 4 * (4 * rowQuads) * (4 * quads);
  const storage = bufferUsage.STORAGE | bufferUsage.COPY_DST | bufferUsage.COPY_SRC;
  const held: GPUBuffer[] = [];
  const allocate = (name: string, size: number, usage = storage) => {
    const buffer = ledger.allocate(`orthogonalize/${name}`, size, usage);
    held.push(buffer);
    return buffer;
  };
  try {
    const uniform = allocate("step", STEP_BYTES, bufferUsage.UNIFORM | bufferUsage.COPY_DST);
    let now = allocate("now", bytes);
    let next = allocate("next", bytes);
    const moment = allocate("moment", bytes);
    const square = allocate("square", bytes);
    const products = allocate("gram", 4 * (4 * quads) ** 2);
    device.queue.writeBuffer(now, 0, padded(D, d, rowQuads, quads));

    const bind = (pipeline: GPUComputePipeline, buffers: Record<number, GPUBuffer>) =>
      device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: Object.entries(buffers).map(([binding, buffer]) => ({
          binding: Number(binding),
          resource: { buffer },
        })),
      });
    const groups = (count: number) => Math.ceil((4 * count) / columnsPerGroup);
    for (let number = 1; number <= steps; number++) {
      device.queue.writeBuffer(uniform, 0, packStep(n, lr, number, rowQuads, quads));
      const encoder = device.createCommandEncoder({ label: "orthogonalize" });
      const pass = encoder.beginComputePass({ label: "orthogonalize" });
      pass.setPipeline(gram);
      pass.setBindGroup(0, bind(gram, { 0: uniform, 1: now, 6: products }));
      pass.dispatchWorkgroups(groups(quads), groups(quads));
      pass.setPipeline(step);
      pass.setBindGroup(0, bind(step, { 0: uniform, 1: now, 2: next, 3: moment, 4: square, 5: products }));
      pass.dispatchWorkgroups(groups(quads), groups(rowQuads));
      pass.end();
      device.queue.submit([encoder.finish()]);
      [now, next] = [next, now];
      if (number % stepsPerWait === 0) await device.queue.onSubmittedWorkDone();
    }
    const result = await readFloat32(gpu, now);
    for (let i = 0; i < n; i++) D.set(result.subarray(i * 4 * quads, i * 4 * quads + d), i * d);
    normalizeRows(D, d);
  } finally {
    for (const buffer of held) ledger.free(buffer);
  }
}

function packStep(n: number, lr: number, step: number, rowQuads: number, quads: number): ArrayBuffer {
  const packed = new ArrayBuffer(STEP_BYTES);
  new Float32Array(packed).set([n, lr, 1 - adam.beta1 ** step, 1 - adam.beta2 ** step]);
  new Uint32Array(packed).set([rowQuads, quads], 4);
  return packed;
}

/** Float32, with rows and columns of zeros up to multiples of 4. */
function padded(D: Float64Array, d: number, rowQuads: number, quads: number): Float32Array<ArrayBuffer> {
  const result = new Float32Array(16 * rowQuads * quads);
  for (let i = 0; i < D.length / d; i++) result.set(D.subarray(i * d, (i + 1) * d), i * 4 * quads);
  return result;
}
