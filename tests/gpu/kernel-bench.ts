import { float32FromF16 } from "../../gpu/data/float16.ts";
import { bufferUsage } from "../../gpu/device/constants.ts";
import { type Dispatch, encodeDispatches } from "../../gpu/device/dispatch.ts";
import type { Capabilities, Gpu } from "../../gpu/device/gpu.ts";
import { readFloat32, readUint32 } from "../../gpu/device/readback.ts";
import type { PlanContext } from "../../gpu/kernels/grid.ts";
import { packStep, type StepScalars, stepUniformBytes } from "../../gpu/kernels/step.ts";
import { UniformArena, uniformSlotBytes } from "../../gpu/kernels/uniforms.ts";
import { halfBits } from "./kernel-data.ts";

const { STORAGE, UNIFORM, COPY_SRC, COPY_DST, INDIRECT } = bufferUsage;

const noStep: StepScalars = {
  rows: 1,
  number: 1,
  step_size: 0,
  second_moment_scale: 1,
  sparsity_coefficient: 0,
  k: 0,
  threshold_scale: 1,
};

/** The same device, for which kernels are planned as if it could do something else. */
export function withCapabilities(gpu: Gpu, capabilities: Partial<Capabilities>): Gpu {
  return {
    device: gpu.device,
    ledger: gpu.ledger,
    pipelines: gpu.pipelines,
    lost: gpu.lost,
    uncapturedError: () => gpu.uncapturedError(),
    close: () => gpu.close(),
    capabilities: { ...gpu.capabilities, ...capabilities },
  };
}

/** For kernels whose workgroups are smaller on a CPU adapter: those that hardware gets. */
export function asHardware(gpu: Gpu): Gpu {
  return withCapabilities(gpu, { software: false });
}

/**
 * Buffers and a plan context for one kernel under test; everything goes back to the ledger at `close`. Kernels are
 * planned for three workgroups in a dimension, so that every grid of more is spread over y, with some left over.
 */
export class KernelBench {
  readonly context: PlanContext;
  readonly #gpu: Gpu;
  readonly #buffers: GPUBuffer[] = [];

  constructor(gpu: Gpu, step: Partial<StepScalars> = {}) {
    const limits = { ...gpu.capabilities.limits, max_compute_workgroups_per_dimension: 3 };
    this.#gpu = withCapabilities(gpu, { limits });
    const uniforms = this.#allocate(16 * uniformSlotBytes, UNIFORM | COPY_DST);
    const scalars = this.#allocate(stepUniformBytes, UNIFORM | COPY_DST);
    this.context = { gpu: this.#gpu, uniforms: new UniformArena(gpu, uniforms), step: scalars };
    this.setStep(step);
  }

  setStep(step: Partial<StepScalars>): void {
    this.#gpu.device.queue.writeBuffer(this.context.step, 0, packStep({ ...noStep, ...step }));
  }

  input(data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>): GPUBuffer {
    const buffer = this.output(data.length);
    this.#gpu.device.queue.writeBuffer(buffer, 0, data);
    return buffer;
  }

  /** Rows of `columns` f32, padded to whole vec4f as the kernels have them. */
  rows(values: ArrayLike<number>, columns: number): GPUBuffer {
    return this.input(padded(values, columns));
  }

  /** The same in f16, of numbers that f16 holds. */
  halves(values: ArrayLike<number>, columns: number): GPUBuffer {
    const bits = Uint16Array.from(padded(values, columns), halfBits);
    return this.input(new Uint32Array(bits.buffer));
  }

  /** Zeros. */
  output(words: number): GPUBuffer {
    return this.#allocate(Math.max(16, 4 * words), STORAGE | COPY_SRC | COPY_DST | INDIRECT);
  }

  /** Filled with a number that no kernel computes, to see what was not written. */
  untouched(words: number): GPUBuffer {
    return this.input(new Float32Array(words).fill(leftAlone));
  }

  clear(buffer: GPUBuffer): void {
    const encoder = this.#gpu.device.createCommandEncoder();
    encoder.clearBuffer(buffer);
    this.#gpu.device.queue.submit([encoder.finish()]);
  }

  run(...dispatches: Dispatch[]): void {
    const encoder = this.#gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    encodeDispatches(pass, dispatches);
    pass.end();
    this.#gpu.device.queue.submit([encoder.finish()]);
  }

  f32(buffer: GPUBuffer, words?: number): Promise<Float32Array> {
    return readFloat32(this.#gpu, buffer, 0, words === undefined ? undefined : 4 * words);
  }

  u32(buffer: GPUBuffer, words?: number): Promise<Uint32Array> {
    return readUint32(this.#gpu, buffer, 0, words === undefined ? undefined : 4 * words);
  }

  /** Without the padding of `rows`, which must be zero. */
  async readRows(buffer: GPUBuffer, rows: number, columns: number): Promise<Float32Array> {
    return unpadded(await this.f32(buffer, rows * pitchOf(columns)), columns);
  }

  async readHalves(buffer: GPUBuffer, rows: number, columns: number): Promise<Float32Array> {
    const words = await this.u32(buffer, (rows * pitchOf(columns)) / 2);
    return unpadded(float32FromF16(new Uint8Array(words.buffer)), columns);
  }

  close(): void {
    const error = this.#gpu.uncapturedError();
    for (const buffer of this.#buffers) this.#gpu.ledger.free(buffer);
    if (error !== null) throw new Error(error);
  }

  #allocate(bytes: number, usage: number): GPUBuffer {
    const buffer = this.#gpu.ledger.allocate("kernel under test", bytes, usage);
    this.#buffers.push(buffer);
    return buffer;
  }
}

/** What `untouched` buffers hold. */
export const leftAlone = -(2 ** 100);

function pitchOf(columns: number): number {
  return 4 * Math.ceil(columns / 4);
}

function padded(values: ArrayLike<number>, columns: number): Float32Array<ArrayBuffer> {
  const pitch = pitchOf(columns);
  const result = new Float32Array((values.length / columns) * pitch);
  for (let i = 0; i < values.length; i++) {
    result[Math.floor(i / columns) * pitch + (i % columns)] = values[i]!;
  }
  return result;
}

function unpadded(values: Float32Array, columns: number): Float32Array {
  const pitch = pitchOf(columns);
  const result = new Float32Array((values.length / pitch) * columns);
  values.forEach((value, i) => {
    if (i % pitch < columns) result[Math.floor(i / pitch) * columns + (i % pitch)] = value;
    else if (value !== 0) throw new Error(`Padding ${i} is ${value}.`);
  });
  return result;
}
