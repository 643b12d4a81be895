import { bufferUsage, mapMode } from "./constants.ts";
import type { Gpu } from "./gpu.ts";

/** Largest staging buffer, so that reading a tensor back needs a small, known amount of extra memory. */
export const readbackSliceBytes = 16 * 2 ** 20;

/**
 * Copies bytes of a buffer (usage COPY_SRC) to the CPU after all work submitted so far. Offset and size in bytes,
 * multiples of 4; default: the whole buffer. Takes at most `readbackSliceBytes` of the ledger while it runs.
 */
export async function readBuffer(
  gpu: Gpu,
  buffer: GPUBuffer,
  offset = 0,
  size = buffer.size - offset,
): Promise<ArrayBuffer> {
  const result = new Uint8Array(size);
  const slice = Math.min(size, readbackSliceBytes);
  if (size === 0) return result.buffer;
  const staging = gpu.ledger.allocate("readback", slice, bufferUsage.MAP_READ | bufferUsage.COPY_DST);
  try {
    for (let done = 0; done < size; done += slice) {
      const bytes = Math.min(slice, size - done);
      const encoder = gpu.device.createCommandEncoder({ label: "readback" });
      encoder.copyBufferToBuffer(buffer, offset + done, staging, 0, bytes);
      gpu.device.queue.submit([encoder.finish()]);
      await staging.mapAsync(mapMode.READ, 0, bytes);
      result.set(new Uint8Array(staging.getMappedRange(0, bytes)), done);
      staging.unmap();
    }
  } finally {
    gpu.ledger.free(staging);
  }
  return result.buffer;
}

export async function readFloat32(
  gpu: Gpu,
  buffer: GPUBuffer,
  offset = 0,
  size?: number,
): Promise<Float32Array> {
  return new Float32Array(await readBuffer(gpu, buffer, offset, size));
}

export async function readUint32(
  gpu: Gpu,
  buffer: GPUBuffer,
  offset = 0,
  size?: number,
): Promise<Uint32Array> {
  return new Uint32Array(await readBuffer(gpu, buffer, offset, size));
}
