import { bufferUsage } from "../device/constants.ts";
import { type Dispatch, encodeDispatches } from "../device/dispatch.ts";
import type { Gpu } from "../device/gpu.ts";
import { packRowRange, planCopyRows, rowRangeBytes } from "../kernels/copy-rows.ts";
import { UniformArena, uniformSlotBytes } from "../kernels/uniforms.ts";
import type { BatchStream, OpenSource } from "./source.ts";

/** Columns of a source's rows, as those of one hook point of several that lie side by side. */
export type ColumnRange = readonly [first: number, width: number];

export function takesAll([first, width]: ColumnRange, d_in: number): boolean {
  return first === 0 && width === d_in;
}

/** Some columns of a batch, made into a batch of their own. */
export class ColumnSplit {
  readonly columns: ColumnRange;
  /** f32 [rows, width], written. */
  readonly target: GPUBuffer;
  /** The whole batch, f32 [rows, d_in]. */
  readonly raw: GPUBuffer;
  readonly #gpu: Gpu;
  readonly #buffers: readonly GPUBuffer[];
  readonly #range: GPUBuffer;
  readonly #copy: Dispatch;
  #closed = false;

  private constructor(
    gpu: Gpu,
    columns: ColumnRange,
    raw: GPUBuffer,
    [target, range, uniforms]: readonly [GPUBuffer, GPUBuffer, GPUBuffer],
    copy: Dispatch,
  ) {
    this.columns = columns;
    this.target = target;
    this.raw = raw;
    this.#gpu = gpu;
    this.#buffers = [target, range, uniforms];
    this.#range = range;
    this.#copy = copy;
  }

  /** @throws the ledger's errors; nothing stays allocated then. */
  static async open(
    gpu: Gpu,
    { raw, rows, d_in }: { raw: GPUBuffer; rows: number; d_in: number },
    columns: ColumnRange,
  ): Promise<ColumnSplit> {
    const { STORAGE, UNIFORM, COPY_SRC, COPY_DST } = bufferUsage;
    const [column, width] = columns;
    const taken: GPUBuffer[] = [];
    const allocate = (name: string, bytes: number, usage: number) => {
      const buffer = gpu.ledger.allocate(`columns/${name}`, bytes, usage);
      taken.push(buffer);
      return buffer;
    };
    try {
      const target = allocate("raw", 4 * rows * width, STORAGE | COPY_SRC | COPY_DST);
      const range = allocate("range", rowRangeBytes, UNIFORM | COPY_DST);
      const uniforms = allocate("uniforms", uniformSlotBytes, UNIFORM | COPY_DST);
      const copy = await planCopyRows(
        { gpu, uniforms: new UniformArena(gpu, uniforms), range },
        {
          label: "columns",
          rows,
          width,
          from: { buffer: raw, pitch: d_in, column, groups: { size: d_in, pitch: d_in } },
          to: { buffer: target, pitch: width },
          list: null,
          counters: null,
        },
      );
      return new ColumnSplit(gpu, columns, raw, [target, range, uniforms], copy);
    } catch (refused) {
      for (const buffer of taken) gpu.ledger.free(buffer);
      throw refused;
    }
  }

  /** Encodes what copies the columns of the batch's first rows. */
  encode(encoder: GPUCommandEncoder, rows: number): void {
    this.#gpu.device.queue.writeBuffer(this.#range, 0, packRowRange({ count: rows }));
    const pass = encoder.beginComputePass({ label: "columns" });
    encodeDispatches(pass, [this.#copy]);
    pass.end();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const buffer of this.#buffers) this.#gpu.ledger.free(buffer);
  }
}

/** An open source of whom only some columns are seen. Batches go to the split's own buffer, whole ones to its raw one. */
export class ColumnsOfSource implements OpenSource {
  readonly #source: OpenSource;
  readonly #split: ColumnSplit;

  constructor(source: OpenSource, split: ColumnSplit) {
    this.#source = source;
    this.#split = split;
  }

  ready(stream: BatchStream, batch: number, rows: number): Promise<void> {
    return this.#source.ready(stream, batch, rows);
  }

  encodeBatch(
    encoder: GPUCommandEncoder,
    target: GPUBuffer,
    stream: BatchStream,
    batch: number,
    rows: number,
  ): void {
    if (target !== this.#split.target) throw new Error("A batch of columns goes to the buffer they have.");
    this.#source.encodeBatch(encoder, this.#split.raw, stream, batch, rows);
    this.#split.encode(encoder, rows);
  }

  /** The source is closed by whoever opened it. */
  close(): void {
    // Nothing of its own.
  }
}
