import { bufferUsage } from "../../gpu/device/constants.ts";
import { type Dispatch, encodeDispatches } from "../../gpu/device/dispatch.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { readFloat32, readUint32 } from "../../gpu/device/readback.ts";
import type { PlanContext } from "../../gpu/kernels/grid.ts";
import { packStep, type StepScalars, stepUniformBytes } from "../../gpu/kernels/step.ts";
import { UniformArena, uniformSlotBytes } from "../../gpu/kernels/uniforms.ts";
import { RandomStream } from "../../gpu/sae/random.ts";

const { STORAGE, UNIFORM, COPY_SRC, COPY_DST, INDIRECT } = bufferUsage;

/** Buffers and a plan context for one kernel under test; everything goes back to the ledger at `close`. */
export class KernelBench {
  readonly context: PlanContext;
  readonly #gpu: Gpu;
  readonly #buffers: GPUBuffer[] = [];

  constructor(gpu: Gpu, step: Partial<StepScalars> = {}) {
    this.#gpu = gpu;
    const uniforms = this.#allocate(16 * uniformSlotBytes, UNIFORM | COPY_DST);
    const scalars = this.#allocate(stepUniformBytes, UNIFORM | COPY_DST);
    this.context = { gpu, uniforms: new UniformArena(gpu, uniforms), step: scalars };
    this.setStep(step);
  }

  setStep(step: Partial<StepScalars>): void {
    const scalars = {
      rows: 1,
      number: 1,
      activation_scale: 1,
      step_size: 0,
      second_moment_scale: 1,
      ...step,
    };
    this.#gpu.device.queue.writeBuffer(this.context.step, 0, packStep(scalars));
  }

  input(data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>): GPUBuffer {
    const buffer = this.output(data.length);
    this.#gpu.device.queue.writeBuffer(buffer, 0, data);
    return buffer;
  }

  /** Rows of `columns` f32, padded to whole vec4f as the kernels have them. */
  rows(values: ArrayLike<number>, columns: number): GPUBuffer {
    const pitch = 4 * Math.ceil(columns / 4);
    const padded = new Float32Array((values.length / columns) * pitch);
    for (let i = 0; i < values.length; i++) {
      padded[Math.floor(i / columns) * pitch + (i % columns)] = values[i]!;
    }
    return this.input(padded);
  }

  /** Zeros. */
  output(words: number): GPUBuffer {
    return this.#allocate(Math.max(16, 4 * words), STORAGE | COPY_SRC | COPY_DST | INDIRECT);
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
    const pitch = 4 * Math.ceil(columns / 4);
    const padded = await this.f32(buffer, rows * pitch);
    const values = new Float32Array(rows * columns);
    padded.forEach((value, i) => {
      if (i % pitch < columns) values[Math.floor(i / pitch) * columns + (i % pitch)] = value;
      else if (value !== 0) throw new Error(`Padding ${i} is ${value}.`);
    });
    return values;
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

export function normals(count: number, seed: number): Float32Array<ArrayBuffer> {
  const random = new RandomStream(seed);
  return Float32Array.from({ length: count }, () => random.normal());
}

/** Bound on the error of an f32 dot product of length K in any order, relative to ‖a‖‖b‖. */
export function dotBound(K: number): number {
  return 4 * Math.sqrt(K) * 2 ** -24;
}

/** Largest |actual − expected| / bound; a bound of zero asks for equality. */
export function worst(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: (i: number) => number,
): number {
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    const ratio = difference === 0 ? 0 : difference / bound(i);
    if (Number.isNaN(ratio)) return Number.NaN;
    largest = Math.max(largest, ratio);
  }
  return largest;
}
