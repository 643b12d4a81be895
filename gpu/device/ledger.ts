import { BufferTooLargeError, OutOfMemoryError } from "./errors.ts";

/**
 * Accounts for every byte of GPU memory the library takes. WebGPU drivers over-commit without an error
 * (one software driver "allocated" 36 GiB on a 23 GiB machine), so the budget is kept here, before the driver is asked.
 */
export class ByteLedger {
  /** Bytes that may be held at once; Infinity where nobody knows. */
  readonly budget: number;
  readonly #device: GPUDevice;
  readonly #sizes = new Map<GPUBuffer, number>();
  #used = 0;
  #peak = 0;

  constructor(device: GPUDevice, budget: number) {
    this.#device = device;
    this.budget = budget;
  }

  /** Bytes held now. */
  get used(): number {
    return this.#used;
  }

  /** Most bytes ever held at once. */
  get peak(): number {
    return this.#peak;
  }

  /**
   * A zero-filled buffer of `bytes` rounded up to WebGPU's granularity of 4, which is also what is accounted.
   * @throws OutOfMemoryError when the budget has no room, BufferTooLargeError beyond the device's largest buffer.
   */
  allocate(label: string, bytes: number, usage: GPUBufferUsageFlags): GPUBuffer {
    if (!Number.isSafeInteger(bytes) || bytes <= 0) {
      throw new RangeError(`"${label}": a buffer's size is a positive whole number of bytes, not ${bytes}.`);
    }
    const size = Math.ceil(bytes / 4) * 4;
    const largest = this.#device.limits.maxBufferSize;
    if (size > largest) throw new BufferTooLargeError(label, size, largest);
    const free = this.budget - this.#used;
    if (size > free) throw new OutOfMemoryError(label, size, free, this.budget);
    const buffer = this.#device.createBuffer({ label, size, usage });
    this.#sizes.set(buffer, size);
    this.#used += size;
    this.#peak = Math.max(this.#peak, this.#used);
    return buffer;
  }

  /** Destroys a buffer of this ledger and takes it off the account. Freeing it twice is an error. */
  free(buffer: GPUBuffer): void {
    const size = this.#sizes.get(buffer);
    if (size === undefined) {
      throw new Error(`"${buffer.label}" is not held by this ledger: freed twice, or allocated elsewhere.`);
    }
    this.#sizes.delete(buffer);
    this.#used -= size;
    buffer.destroy();
  }
}
