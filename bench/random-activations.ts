import type { ActivationSource, OpenSource } from "../gpu/data/source.ts";
import { bufferUsage } from "../gpu/device/constants.ts";
import type { Gpu } from "../gpu/device/gpu.ts";

/** Different batches kept on the GPU and served in turn. */
const batches = 4;

/**
 * Gaussian rows, drawn once and kept on the GPU: a batch costs one copy, so that what is measured is the training.
 * For timing only; there is nothing to learn in it.
 */
export class RandomActivations implements ActivationSource {
  readonly d_in: number;
  readonly n_tokens = null;

  constructor(d_in: number) {
    this.d_in = d_in;
  }

  gpuBytes(maxRows: number): number {
    return batches * maxRows * this.d_in * 4;
  }

  async open(gpu: Gpu, maxRows: number): Promise<OpenSource> {
    const { d_in } = this;
    const { COPY_SRC, COPY_DST } = bufferUsage;
    const bytes = maxRows * d_in * 4;
    const bank: GPUBuffer[] = [];
    for (let i = 0; i < batches; i++) {
      const buffer = gpu.ledger.allocate("bench activations", bytes, COPY_SRC | COPY_DST);
      gpu.device.queue.writeBuffer(buffer, 0, gaussians(maxRows * d_in, i + 1));
      bank.push(buffer);
    }
    return {
      async ready() {
        await Promise.resolve();
      },
      encodeBatch(encoder, target, _stream, batch, rows) {
        encoder.copyBufferToBuffer(bank[batch % batches]!, 0, target, 0, rows * d_in * 4);
      },
      close() {
        for (const buffer of bank) gpu.ledger.free(buffer);
      },
    };
  }
}

/** Standard normal numbers: mulberry32 through Box and Muller. */
function gaussians(length: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const out = new Float32Array(length);
  for (let i = 0; i < length; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    out[i] = radius * Math.cos(angle);
    if (i + 1 < length) out[i + 1] = radius * Math.sin(angle);
  }
  return out;
}
