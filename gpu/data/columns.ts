import { bufferUsage } from "../device/constants.ts";
import { encodeDispatches } from "../device/dispatch.ts";
import type { Gpu } from "../device/gpu.ts";
import { type CopyRows, copyRowsUniformBytes, planCopyRows } from "../kernels/copy-rows.ts";
import type { BatchStream, OpenSource } from "./source.ts";

const { STORAGE, UNIFORM, COPY_SRC, COPY_DST } = bufferUsage;

/** Columns of a source's rows: the first, and how many. */
export type ColumnRange = readonly [first: number, width: number];

/** Some columns of an open source whose whole batches lie in a buffer of the caller, who closes both. */
export class SourceColumns implements OpenSource {
  /** f32 [rows, width]: these columns of the batch, once `encodeCopy` has run. */
  readonly raw: GPUBuffer;
  readonly #gpu: Gpu;
  readonly #source: OpenSource;
  readonly #whole: GPUBuffer;
  readonly #uniform: GPUBuffer;
  #copy!: CopyRows;

  private constructor(gpu: Gpu, source: OpenSource, whole: GPUBuffer, bytes: number) {
    this.#gpu = gpu;
    this.#source = source;
    this.#whole = whole;
    this.raw = gpu.ledger.allocate("raw columns", bytes, STORAGE | COPY_SRC | COPY_DST);
    this.#uniform = gpu.ledger.allocate("columns", copyRowsUniformBytes, UNIFORM | COPY_DST);
  }

  /** @param whole f32 [rows, pitch]. */
  static async open(
    gpu: Gpu,
    source: OpenSource,
    { whole, rows, pitch }: { whole: GPUBuffer; rows: number; pitch: number },
    [first, width]: ColumnRange,
  ): Promise<SourceColumns> {
    const columns = new SourceColumns(gpu, source, whole, 4 * rows * width);
    columns.#copy = await planCopyRows(
      gpu,
      "columns",
      { rows, width, x_pitch: pitch, x_first: first, y_pitch: width },
      { uniform: columns.#uniform, x: whole, y: columns.raw, index: null },
    );
    columns.#copy.set(rows, 0);
    return columns;
  }

  /** Takes the columns out of the batch that lies in the whole buffer. */
  encodeCopy(encoder: GPUCommandEncoder): void {
    const pass = encoder.beginComputePass({ label: "columns" });
    encodeDispatches(pass, [this.#copy.dispatch]);
    pass.end();
  }

  ready(stream: BatchStream, batch: number, rows: number): Promise<void> {
    return this.#source.ready(stream, batch, rows);
  }

  /** @param target The raw buffer of these columns. */
  encodeBatch(
    encoder: GPUCommandEncoder,
    target: GPUBuffer,
    stream: BatchStream,
    batch: number,
    rows: number,
  ): void {
    if (target !== this.raw) throw new Error("Columns are taken into their own buffer alone.");
    this.#source.encodeBatch(encoder, this.#whole, stream, batch, rows);
    this.encodeCopy(encoder);
  }

  close(): void {
    this.#gpu.ledger.free(this.raw);
    this.#gpu.ledger.free(this.#uniform);
  }
}
