import type { ActivationSource, BatchStream, OpenSource } from "../../gpu/data/source.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";

/** Rows held in memory, in order, from the start again after the last. Both streams see the same order. */
export class ArraySource implements ActivationSource {
  readonly d_in: number;
  readonly n_tokens: number;
  readonly #rows: Float32Array;

  constructor(rows: Float32Array, d_in: number) {
    this.#rows = rows;
    this.d_in = d_in;
    this.n_tokens = rows.length / d_in;
  }

  gpuBytes(): number {
    return 0;
  }

  /** The rows of a batch, f32 [rows, d_in]. */
  batch(number: number, rows: number): Float32Array {
    const { d_in, n_tokens } = this;
    const batch = new Float32Array(rows * d_in);
    for (let r = 0; r < rows; r++) {
      const row = (number * rows + r) % n_tokens;
      batch.set(this.#rows.subarray(row * d_in, (row + 1) * d_in), r * d_in);
    }
    return batch;
  }

  async open(gpu: Gpu): Promise<OpenSource> {
    return {
      ready: async () => undefined,
      encodeBatch: (_encoder, target: GPUBuffer, _stream: BatchStream, number: number, rows: number) => {
        const batch = this.batch(number, rows);
        gpu.device.queue.writeBuffer(target, 0, batch.buffer, batch.byteOffset, batch.byteLength);
      },
      close: () => undefined,
    };
  }
}
