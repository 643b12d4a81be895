import { bufferUsage, mapMode } from "../device/constants.ts";
import type { Gpu } from "../device/gpu.ts";
import { type Statistics, statisticsBytes, unpackStatistics } from "../kernels/statistics.ts";

/** Readbacks that may be under way at once. */
const slots = 3;

/** GPU bytes of the ring. */
export const statisticsRingBytes = slots * statisticsBytes;

interface Reading<Tag> {
  tag: Tag;
  buffer: GPUBuffer;
  mapped: Promise<void>;
  done: boolean;
}

/**
 * Brings small statistics to the host without stalling the GPU: a copy joins the step's commands, the buffer is mapped
 * after their submit, and whoever steps next collects what has arrived.
 */
export class StatisticsRing<Tag> {
  readonly #gpu: Gpu;
  readonly #free: GPUBuffer[];
  /** Oldest first. */
  readonly #readings: Reading<Tag>[] = [];
  #copied: { tag: Tag; buffer: GPUBuffer } | null = null;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.#free = Array.from({ length: slots }, () =>
      gpu.ledger.allocate("statistics ring", statisticsBytes, bufferUsage.MAP_READ | bufferUsage.COPY_DST),
    );
  }

  /** Whether `copy` has to wait for `collect`. */
  get full(): boolean {
    return this.#free.length === 0;
  }

  /** Settles when the oldest reading has arrived. */
  async oldest(): Promise<void> {
    await this.#readings[0]?.mapped;
  }

  /** Encodes the copy of `statistics`; call `submitted` right after the encoder's submit. */
  copy(encoder: GPUCommandEncoder, statistics: GPUBuffer, tag: Tag): void {
    const buffer = this.#free.pop();
    if (buffer === undefined) throw new Error("The statistics ring is full; collect first.");
    encoder.copyBufferToBuffer(statistics, 0, buffer, 0, statisticsBytes);
    this.#copied = { tag, buffer };
  }

  submitted(): void {
    if (this.#copied === null) return;
    const reading: Reading<Tag> = { ...this.#copied, mapped: Promise.resolve(), done: false };
    reading.mapped = reading.buffer.mapAsync(mapMode.READ).then(() => {
      reading.done = true;
    });
    // Whoever awaits it gets the rejection; a device lost meanwhile must not become an unhandled one.
    reading.mapped.catch(() => undefined);
    this.#readings.push(reading);
    this.#copied = null;
  }

  /** What has arrived, in the order of the copies. */
  collect(): { tag: Tag; statistics: Statistics }[] {
    const arrived: { tag: Tag; statistics: Statistics }[] = [];
    while (this.#readings[0]?.done) {
      const { tag, buffer } = this.#readings.shift()!;
      arrived.push({ tag, statistics: unpackStatistics(buffer.getMappedRange().slice(0)) });
      buffer.unmap();
      this.#free.push(buffer);
    }
    return arrived;
  }

  /** Waits for everything under way. */
  async settle(): Promise<void> {
    await Promise.all(this.#readings.map(({ mapped }) => mapped));
  }

  close(): void {
    for (const buffer of [...this.#free, ...this.#readings.map(({ buffer }) => buffer)]) {
      this.#gpu.ledger.free(buffer);
    }
    this.#free.length = 0;
    this.#readings.length = 0;
  }
}
