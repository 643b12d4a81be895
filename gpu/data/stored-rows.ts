import type { Gpu } from "../device/gpu.ts";
import { RowsInOrder } from "./rows-in-order.ts";
import { type RowReader, RowsInMemory, RowsInWindows, type ShuffledRows } from "./shuffle.ts";
import type { ActivationSource, BatchStream, OpenSource } from "./source.ts";

export interface StoredSourceOptions {
  seed: number;
  memoryBudgetBytes?: number;
  shuffle?: boolean;
  /** Rows that are never trained on, for evaluation in place of the others; null: there are none. */
  held_out?: RowReader | null;
}

const defaultBudgetBytes = 512 * 2 ** 20;

/**
 * Stored activations as a training source. Training: batch b takes positions b·rows … of the shuffled epochs laid end
 * to end, so every row comes once per epoch and a batch that ends one epoch begins the next. A set that fits the memory
 * budget is shuffled whole; a larger one in windows of random blocks (`RowsInWindows`).
 * Evaluation: rows in steps of about 0.618·n_rows, which any number of tokens spreads evenly over the set; of the rows that
 * are held out, where there are any.
 * With `shuffle: false` both streams take the rows as they are stored, from the first on, again and again.
 */
export class StoredSource implements ActivationSource {
  readonly d_in: number;
  readonly n_tokens: number;
  readonly #rows: ShuffledRows;
  readonly #shuffle: boolean;
  /** Rows that evaluation batches are taken of, and the step through them. */
  readonly #evaluated: ShuffledRows;
  readonly #evaluatedRows: number;
  readonly #step: number;

  constructor(reader: RowReader, options: StoredSourceOptions) {
    const { seed, memoryBudgetBytes = defaultBudgetBytes, shuffle = true, held_out = null } = options;
    if (held_out !== null && held_out.d_in !== reader.d_in) {
      throw new RangeError(`Rows have ${reader.d_in} numbers, but those held out have ${held_out.d_in}.`);
    }
    this.d_in = reader.d_in;
    this.n_tokens = reader.n_rows;
    const fits = reader.n_rows * reader.d_in * 4 <= memoryBudgetBytes;
    if (!shuffle) this.#rows = new RowsInOrder(reader);
    else if (fits) this.#rows = new RowsInMemory(reader, seed);
    else this.#rows = new RowsInWindows(reader, seed, memoryBudgetBytes);
    this.#shuffle = shuffle;
    this.#evaluated = held_out === null ? this.#rows : heldOutRows(held_out, memoryBudgetBytes, shuffle);
    this.#evaluatedRows = held_out?.n_rows ?? reader.n_rows;
    this.#step = coprimeStep(this.#evaluatedRows);
  }

  /** Most bytes of activations held in the computer's memory at once. */
  get heldBytes(): number {
    return this.#rows.heldBytes + (this.#evaluated === this.#rows ? 0 : this.#evaluated.heldBytes);
  }

  /** None: rows go straight into the batch. */
  gpuBytes(_maxRows: number): number {
    return 0;
  }

  /** Rows of a batch, f32 [rows, d_in], into `out`. */
  async batch(stream: BatchStream, batch: number, out: Float32Array): Promise<void> {
    const first = (batch * out.length) / this.d_in;
    if (stream === "training") return this.#rows.gather(first, out);
    if (!this.#shuffle) return this.#evaluated.gather(first, out);
    let row = Number((BigInt(first) * BigInt(this.#step)) % BigInt(this.#evaluatedRows));
    const chosen = Float64Array.from({ length: out.length / this.d_in }, () => {
      const here = row;
      row = (row + this.#step) % this.#evaluatedRows;
      return here;
    });
    return this.#evaluated.pick(chosen, out);
  }

  open(gpu: Gpu, maxRows: number): Promise<OpenSource> {
    return Promise.resolve(new OpenStoredSource(this, gpu.device, maxRows));
  }
}

/** Held-out rows stay in memory where they are few, as they mostly are; else they are read as they are wanted. */
function heldOutRows(reader: RowReader, memoryBudgetBytes: number, shuffle: boolean): ShuffledRows {
  const few = reader.n_rows * reader.d_in * 4 <= memoryBudgetBytes / 8;
  return shuffle && few ? new RowsInMemory(reader, 0) : new RowsInOrder(reader);
}

/** A step near the golden section of n that meets every row before any twice. */
function coprimeStep(n: number): number {
  const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
  let step = Math.max(1, Math.round(n * 0.6180339887498949));
  while (gcd(step, n) !== 1) step++;
  return step % n || 1;
}

class OpenStoredSource implements OpenSource {
  readonly #source: StoredSource;
  readonly #device: GPUDevice;
  readonly #maxRows: number;
  readonly #prepared = new Map<string, { loading: Promise<void>; rows: Float32Array<ArrayBuffer> }>();
  #done = new Set<string>();
  #spare: Float32Array<ArrayBuffer>[] = [];

  constructor(source: StoredSource, device: GPUDevice, maxRows: number) {
    this.#source = source;
    this.#device = device;
    this.#maxRows = maxRows;
  }

  /** Waits for the batch and, in training, starts on the next one. */
  async ready(stream: BatchStream, batch: number, rows: number): Promise<void> {
    if (rows > this.#maxRows) {
      throw new RangeError(`A batch of ${rows} rows was asked of a source opened for ${this.#maxRows}.`);
    }
    await this.#prepare(stream, batch, rows);
    if (stream === "training") {
      // A failure is met again by whoever asks for that batch.
      this.#prepare(stream, batch + 1, rows).catch(() => this.#forget(key(stream, batch + 1, rows)));
    }
  }

  encodeBatch(
    _encoder: GPUCommandEncoder,
    target: GPUBuffer,
    stream: BatchStream,
    batch: number,
    rows: number,
  ): void {
    const at = key(stream, batch, rows);
    const prepared = this.#prepared.get(at);
    if (!prepared || !this.#done.has(at)) {
      throw new Error(`Batch ${batch} of the ${stream} stream was encoded before it was ready.`);
    }
    this.#device.queue.writeBuffer(target, 0, prepared.rows);
    this.#forget(at);
    if (this.#spare.length < 2) this.#spare.push(prepared.rows);
  }

  close(): void {
    this.#prepared.clear();
    this.#done.clear();
    this.#spare = [];
  }

  #prepare(stream: BatchStream, batch: number, rows: number): Promise<void> {
    const at = key(stream, batch, rows);
    const known = this.#prepared.get(at);
    if (known) return known.loading;
    // Left over by a caller that went elsewhere, as after a resumed or ended evaluation.
    for (const other of this.#done) if (this.#prepared.size > 4) this.#forget(other);
    const length = rows * this.#source.d_in;
    const spare = this.#spare.findIndex((one) => one.length === length);
    const out = spare >= 0 ? this.#spare.splice(spare, 1)[0]! : new Float32Array(length);
    const loading = this.#source.batch(stream, batch, out).then(
      () => {
        this.#done.add(at);
      },
      (error: unknown) => {
        this.#forget(at);
        throw error;
      },
    );
    this.#prepared.set(at, { loading, rows: out });
    return loading;
  }

  #forget(at: string): void {
    this.#prepared.delete(at);
    this.#done.delete(at);
  }
}

function key(stream: BatchStream, batch: number, rows: number): string {
  return `${stream}/${batch}/${rows}`;
}
