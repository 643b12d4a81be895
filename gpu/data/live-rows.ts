import { bufferUsage } from "../device/constants.ts";
import { type Dispatch, encodeDispatches } from "../device/dispatch.ts";
import type { Gpu } from "../device/gpu.ts";
import { readUint32 } from "../device/readback.ts";
import { counterBytes, divergedStep } from "../kernels/control.ts";
import {
  type CopyContext,
  packRowRange,
  planCopyRows,
  planCopyRowsTo,
  type RowRange,
  rowRangeBytes,
} from "../kernels/copy-rows.ts";
import { UniformArena, uniformSlotBytes } from "../kernels/uniforms.ts";
import type { HookBuffer } from "../lm/language-model.ts";
import { groupPitch, pitch, width } from "../lm/layout.ts";

const { STORAGE, UNIFORM, COPY_SRC, COPY_DST } = bufferUsage;

/** Bytes that every WebGPU adapter can bind as one buffer. */
const bindableBytes = 2 ** 27;

export interface LiveRowsSize {
  d_in: number;
  hooks: number;
  /** Rows of the window. */
  windowRows: number;
  /** Most rows of a batch. */
  batchRows: number;
  /** Most rows of a pass of the model. */
  passRows: number;
  /** Bytes of the window's largest buffer; default what every WebGPU adapter can bind. */
  pieceBytes?: number;
}

/** Rows that one of the window's buffers has. */
interface Piece {
  first: number;
  rows: number;
}

function piecesOf({ windowRows, d_in, pieceBytes = bindableBytes }: LiveRowsSize): Piece[] {
  const most = Math.max(1, Math.floor(pieceBytes / (4 * d_in)));
  const pieces: Piece[] = [];
  for (let first = 0; first < windowRows; first += most) {
    pieces.push({ first, rows: Math.min(most, windowRows - first) });
  }
  return pieces;
}

/** Bytes and usage of every buffer, by name; the window's by number. */
function plannedBuffers(size: LiveRowsSize): [name: string, bytes: number, usage: number][] {
  const pieces = piecesOf(size);
  const kernels = (pieces.length + 1) * size.hooks + pieces.length;
  return [
    ["batch", 4 * size.batchRows * size.d_in, STORAGE | COPY_SRC],
    ["pass list", 4 * size.passRows, STORAGE | COPY_DST],
    ["batch list", 4 * size.batchRows, STORAGE | COPY_DST],
    ["pass range", rowRangeBytes, UNIFORM | COPY_DST],
    ["batch range", rowRangeBytes, UNIFORM | COPY_DST],
    ["counters", counterBytes, STORAGE | COPY_SRC | COPY_DST],
    ["uniforms", kernels * uniformSlotBytes, UNIFORM | COPY_DST],
    ...pieces.map(({ rows }, i): [string, number, number] => [`window ${i}`, 4 * rows * size.d_in, STORAGE]),
  ];
}

/** Bytes that `LiveRows.open` takes of the ledger. */
export function liveRowsBytes(size: LiveRowsSize): number {
  return plannedBuffers(size).reduce((sum, [, bytes]) => sum + bytes, 0);
}

/** Rows go in as they lie in a pass, to a buffer or to several that hold a part each. */
type Intake = { part: Piece; dispatches: Dispatch[] }[];

/**
 * Activations on the GPU: a window of rows f32 [windowRows, d_in] that are put in pass by pass and taken out in any order,
 * and one batch that is put together directly.
 */
export class LiveRows {
  readonly #gpu: Gpu;
  readonly #size: LiveRowsSize;
  readonly #buffers: Map<string, GPUBuffer>;
  readonly #window: Intake;
  readonly #batch: Intake;
  readonly #takes: ((target: GPUBuffer) => Dispatch)[];
  /** The kernels that take rows out, by where they go. */
  readonly #taking = new WeakMap<GPUBuffer, Dispatch[]>();

  private constructor(
    gpu: Gpu,
    size: LiveRowsSize,
    buffers: Map<string, GPUBuffer>,
    planned: { window: Intake; batch: Intake; takes: ((target: GPUBuffer) => Dispatch)[] },
  ) {
    this.#gpu = gpu;
    this.#size = size;
    this.#buffers = buffers;
    this.#window = planned.window;
    this.#batch = planned.batch;
    this.#takes = planned.takes;
  }

  /**
   * @param hooks where a pass leaves the activations that lie side by side in a row.
   * @throws the ledger's errors; nothing stays allocated then.
   */
  static async open(gpu: Gpu, size: LiveRowsSize, hooks: readonly HookBuffer[]): Promise<LiveRows> {
    const buffers = new Map<string, GPUBuffer>();
    try {
      for (const [name, bytes, usage] of plannedBuffers(size)) {
        buffers.set(name, gpu.ledger.allocate(`live activations/${name}`, bytes, usage));
      }
      return new LiveRows(gpu, size, buffers, await plan(gpu, size, buffers, hooks));
    } catch (refused) {
      for (const buffer of buffers.values()) gpu.ledger.free(buffer);
      throw refused;
    }
  }

  /** Submits what copies rows of the pass that has just run, in the order of `rows`, to slots `slot` … of the window. */
  putInWindow(slot: number, rows: Uint32Array<ArrayBuffer>): void {
    this.#put(this.#window, slot, rows);
  }

  /** The same for the rows `slot` … of the batch. */
  putInBatch(slot: number, rows: Uint32Array<ArrayBuffer>): void {
    this.#put(this.#batch, slot, rows);
  }

  /** Encodes what copies the window's rows at `slots` to `target`, f32 [slots, d_in]. */
  takeFromWindow(encoder: GPUCommandEncoder, target: GPUBuffer, slots: Uint32Array<ArrayBuffer>): void {
    let taking = this.#taking.get(target);
    if (taking === undefined) {
      taking = this.#takes.map((to) => to(target));
      this.#taking.set(target, taking);
    }
    this.#write("batch", slots, { count: slots.length });
    const pass = encoder.beginComputePass({ label: "live batch" });
    encodeDispatches(pass, taking);
    pass.end();
  }

  /** Encodes what copies the batch's first rows to `target`. */
  takeBatch(encoder: GPUCommandEncoder, target: GPUBuffer, rows: number): void {
    encoder.copyBufferToBuffer(this.#buffers.get("batch")!, 0, target, 0, 4 * rows * this.#size.d_in);
  }

  /** Whether all numbers put in so far were finite; waits for them. */
  async finite(): Promise<boolean> {
    const [mark] = await readUint32(this.#gpu, this.#buffers.get("counters")!);
    return divergedStep(mark!) === null;
  }

  close(): void {
    for (const buffer of this.#buffers.values()) this.#gpu.ledger.free(buffer);
    this.#buffers.clear();
  }

  #put(intake: Intake, slot: number, rows: Uint32Array<ArrayBuffer>): void {
    this.#write("pass", rows, { count: rows.length, to: slot });
    const encoder = this.#gpu.device.createCommandEncoder({ label: "live rows" });
    const pass = encoder.beginComputePass({ label: "live rows" });
    for (const { part, dispatches } of intake) {
      const overlaps = slot < part.first + part.rows && slot + rows.length > part.first;
      if (overlaps) encodeDispatches(pass, dispatches);
    }
    pass.end();
    this.#gpu.device.queue.submit([encoder.finish()]);
  }

  #write(of: "pass" | "batch", list: Uint32Array<ArrayBuffer>, range: RowRange): void {
    const { queue } = this.#gpu.device;
    queue.writeBuffer(this.#buffers.get(`${of} list`)!, 0, list);
    queue.writeBuffer(this.#buffers.get(`${of} range`)!, 0, packRowRange(range));
  }
}

async function plan(
  gpu: Gpu,
  size: LiveRowsSize,
  buffers: Map<string, GPUBuffer>,
  hooks: readonly HookBuffer[],
) {
  const { d_in, batchRows, passRows } = size;
  const buffer = (name: string) => buffers.get(name)!;
  const uniforms = new UniformArena(gpu, buffer("uniforms"));
  const passes: CopyContext = { gpu, uniforms, range: buffer("pass range") };
  const batches: CopyContext = { gpu, uniforms, range: buffer("batch range") };
  const intake = async (to: GPUBuffer, part: Piece) => {
    const dispatches: Dispatch[] = [];
    let column = 0;
    for (const { buffer: from, layout } of hooks) {
      const copy = planCopyRows(passes, {
        label: "live rows",
        rows: passRows,
        width: width(layout),
        from: {
          buffer: from,
          pitch: pitch(layout),
          groups: { size: layout.size, pitch: groupPitch(layout) },
        },
        to: { buffer: to, pitch: d_in, column, part },
        list: { side: "from", rows: buffer("pass list") },
        counters: buffer("counters"),
      });
      dispatches.push(await copy);
      column += width(layout);
    }
    return { part, dispatches };
  };
  const window: Intake = [];
  const takes: ((target: GPUBuffer) => Dispatch)[] = [];
  for (const [i, part] of piecesOf(size).entries()) {
    const piece = buffer(`window ${i}`);
    window.push(await intake(piece, part));
    takes.push(
      await planCopyRowsTo(batches, {
        label: "live batch",
        rows: batchRows,
        width: d_in,
        from: { buffer: piece, pitch: d_in, part },
        to: { pitch: d_in },
        list: { side: "from", rows: buffer("batch list") },
        counters: null,
      }),
    );
  }
  return { window, takes, batch: [await intake(buffer("batch"), { first: 0, rows: batchRows })] };
}
