import type { Gpu } from "../device/gpu.ts";

/** Bytes of one uniform slot: WebGPU's portable alignment of a uniform binding's offset. */
export const uniformSlotBytes = 256;

/** One 32-bit word of a uniform: a bare number is a u32. */
export type UniformWord = number | { f32: number };

/** The kernels' constant parameters, one slot each in one buffer. */
export class UniformArena {
  readonly #gpu: Gpu;
  readonly #buffer: GPUBuffer;
  #used = 0;

  /** @param buffer usage UNIFORM | COPY_DST; uniformSlotBytes for each kernel instance that will be planned. */
  constructor(gpu: Gpu, buffer: GPUBuffer) {
    this.#gpu = gpu;
    this.#buffer = buffer;
  }

  /** Writes a struct of 32-bit words into the next slot. */
  add(words: readonly UniformWord[]): GPUBufferBinding {
    const offset = this.#used * uniformSlotBytes;
    if (offset + uniformSlotBytes > this.#buffer.size) {
      throw new RangeError(
        `The uniform buffer was planned for ${this.#used} kernels, and one more is planned.`,
      );
    }
    this.#used++;
    this.#gpu.device.queue.writeBuffer(this.#buffer, offset, packWords(words));
    return { buffer: this.#buffer, offset, size: Math.ceil(words.length / 4) * 16 };
  }
}

/** Words as WGSL lays out a struct of u32 and f32, padded to 16 bytes. */
export function packWords(words: readonly UniformWord[]): ArrayBuffer {
  const bytes = new ArrayBuffer(Math.ceil(words.length / 4) * 16);
  const view = new DataView(bytes);
  words.forEach((word, i) => {
    if (typeof word === "object") view.setFloat32(4 * i, word.f32, true);
    else if (Number.isInteger(word) && word >= 0 && word <= 0xffffffff) view.setUint32(4 * i, word, true);
    else throw new RangeError(`${word} is not a u32.`);
  });
  return bytes;
}
