import { pcg4d } from "./random.ts";

/** Stored activations, readable anywhere: `read` gives rows start … start + count − 1, f32 [count, d_in]. */
export interface RowReader {
  readonly n_rows: number;
  readonly d_in: number;
  read(start: number, count: number): Promise<Float32Array<ArrayBuffer>>;
}

/** Rows of a reader in shuffled order, epoch after epoch. Position p is row p mod n_rows of epoch ⌊p / n_rows⌋'s order. */
export interface ShuffledRows {
  /** Copies the rows at positions start … into `out`, as many as fit. */
  gather(start: number, out: Float32Array): Promise<void>;
  /** Copies the rows of those numbers into `out`, unshuffled. */
  pick(rows: Float64Array, out: Float32Array): Promise<void>;
  /** Most bytes of activations held at once. */
  readonly heldBytes: number;
}

/** A random order of 0 … n − 1 (Fisher-Yates), a function of its counters alone. */
export function permutation(n: number, seed: number, epoch: number, part: number): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, index) => index);
  const words = new Uint32Array(4);
  for (let last = n - 1; last > 0; last--) {
    if (last % 4 === 3 || last === n - 1) pcg4d(words, last >>> 2, epoch, part, seed);
    const other = Math.floor(words[last % 4]! * 2 ** -32 * (last + 1));
    const moved = order[last]!;
    order[last] = order[other]!;
    order[other] = moved;
  }
  return order;
}

/** All rows in memory, in a new order of the whole set each epoch. */
export class RowsInMemory implements ShuffledRows {
  readonly heldBytes: number;
  readonly #reader: RowReader;
  readonly #seed: number;
  #rows: Promise<Float32Array> | null = null;
  #epoch = -1;
  #order: Uint32Array = new Uint32Array(0);

  constructor(reader: RowReader, seed: number) {
    this.#reader = reader;
    this.#seed = seed;
    this.heldBytes = reader.n_rows * reader.d_in * 4;
  }

  async gather(start: number, out: Float32Array): Promise<void> {
    const all = await this.#load();
    const { n_rows, d_in } = this.#reader;
    for (let slot = 0; slot * d_in < out.length; slot++) {
      const epoch = Math.floor((start + slot) / n_rows);
      if (epoch !== this.#epoch) {
        this.#order = permutation(n_rows, this.#seed, epoch, 0);
        this.#epoch = epoch;
      }
      copyRow(all, this.#order[(start + slot) % n_rows]!, out, slot, d_in);
    }
  }

  async pick(rows: Float64Array, out: Float32Array): Promise<void> {
    const all = await this.#load();
    for (const [slot, row] of rows.entries()) copyRow(all, row, out, slot, this.#reader.d_in);
  }

  /** Read once, in pieces, so that a converting reader never holds the set twice. A failed read may be tried again. */
  #load(): Promise<Float32Array> {
    this.#rows ??= this.#readAll().catch((error: unknown) => {
      this.#rows = null;
      throw error;
    });
    return this.#rows;
  }

  async #readAll(): Promise<Float32Array> {
    const { n_rows, d_in } = this.#reader;
    const all = new Float32Array(n_rows * d_in);
    const piece = Math.max(1, Math.floor(2 ** 22 / d_in));
    for (let row = 0; row < n_rows; row += piece) {
      all.set(await this.#reader.read(row, Math.min(piece, n_rows - row)), row * d_in);
    }
    return all;
  }
}

/** Bytes of consecutive rows read at once: long enough for a disk, short enough to mix. */
const blockBytes = 256 * 1024;
/** A window is made of at least so many blocks, if need be of shorter ones. */
const leastBlocks = 16;

interface Window {
  number: number;
  rows: Float32Array;
  order: Uint32Array;
}

/**
 * A set larger than memory. Each epoch puts its blocks of consecutive rows in a new random order, gathers as many of
 * them as half the budget holds into a window, and gives the window's rows in random order, while the next window is
 * being read. Every row comes once per epoch; two rows of one block always come within one window.
 */
export class RowsInWindows implements ShuffledRows {
  readonly heldBytes: number;
  readonly #reader: RowReader;
  readonly #seed: number;
  readonly #blockRows: number;
  readonly #blocks: number;
  readonly #windowBlocks: number;
  readonly #windows: number;
  readonly #loading = new Map<number, Promise<Window>>();
  #epoch = -1;
  #blockOrder: Uint32Array = new Uint32Array(0);

  constructor(reader: RowReader, seed: number, memoryBudgetBytes: number) {
    this.#reader = reader;
    this.#seed = seed;
    const rowBytes = reader.d_in * 4;
    const windowRows = Math.max(1, Math.floor(memoryBudgetBytes / 2 / rowBytes));
    this.#blockRows = Math.max(
      1,
      Math.min(Math.ceil(blockBytes / rowBytes), Math.floor(windowRows / leastBlocks)),
    );
    this.#blocks = Math.ceil(reader.n_rows / this.#blockRows);
    this.#windowBlocks = Math.max(1, Math.floor(windowRows / this.#blockRows));
    this.#windows = Math.ceil(this.#blocks / this.#windowBlocks);
    this.heldBytes = 2 * this.#windowBlocks * this.#blockRows * rowBytes;
  }

  async gather(start: number, out: Float32Array): Promise<void> {
    const { n_rows, d_in } = this.#reader;
    const count = out.length / d_in;
    for (let slot = 0; slot < count; ) {
      const epoch = Math.floor((start + slot) / n_rows);
      const within = (start + slot) % n_rows;
      const index = this.#windowAt(epoch, within);
      const first = this.#windowStart(epoch, index);
      const window = await this.#enter(epoch * this.#windows + index);
      const end = Math.min(count, slot + first + window.order.length - within);
      for (let place = within - first; slot < end; place++, slot++) {
        copyRow(window.rows, window.order[place]!, out, slot, d_in);
      }
    }
  }

  async pick(rows: Float64Array, out: Float32Array): Promise<void> {
    const { d_in } = this.#reader;
    const atOnce = 64;
    for (let slot = 0; slot < rows.length; slot += atOnce) {
      const read = Array.from(rows.subarray(slot, slot + atOnce), (row) => this.#reader.read(row, 1));
      for (const [index, row] of (await Promise.all(read)).entries()) out.set(row, (slot + index) * d_in);
    }
  }

  /** Order of an epoch's blocks. */
  #order(epoch: number): Uint32Array {
    if (epoch !== this.#epoch) {
      this.#blockOrder = permutation(this.#blocks, this.#seed, epoch, 0);
      this.#epoch = epoch;
    }
    return this.#blockOrder;
  }

  /** Rows of the epoch before its window `index`. The last block of the set may be short, wherever it comes. */
  #windowStart(epoch: number, index: number): number {
    const before = index * this.#windowBlocks;
    if (before >= this.#blocks) return this.#reader.n_rows;
    const missing = this.#blocks * this.#blockRows - this.#reader.n_rows;
    const shortComesBefore = missing > 0 && this.#order(epoch).indexOf(this.#blocks - 1) < before;
    return before * this.#blockRows - (shortComesBefore ? missing : 0);
  }

  #windowAt(epoch: number, within: number): number {
    let index = Math.floor(within / (this.#windowBlocks * this.#blockRows));
    while (within >= this.#windowStart(epoch, index + 1)) index++;
    return index;
  }

  /** The window, all others but the next dropped, and the next one under way. */
  #enter(number: number): Promise<Window> {
    for (const held of this.#loading.keys()) {
      if (held !== number && held !== number + 1) this.#loading.delete(held);
    }
    const window = this.#load(number);
    // A failure of the read-ahead is met again by whoever needs that window.
    window.then(() => this.#load(number + 1)).catch(() => this.#loading.delete(number + 1));
    return window;
  }

  #load(number: number): Promise<Window> {
    const known = this.#loading.get(number);
    if (known) return known;
    const loading = this.#read(number).catch((error: unknown) => {
      this.#loading.delete(number);
      throw error;
    });
    this.#loading.set(number, loading);
    return loading;
  }

  async #read(number: number): Promise<Window> {
    const { n_rows, d_in } = this.#reader;
    const epoch = Math.floor(number / this.#windows);
    const index = number % this.#windows;
    const from = index * this.#windowBlocks;
    const blocks = this.#order(epoch).slice(from, from + this.#windowBlocks);
    const count = this.#windowStart(epoch, index + 1) - this.#windowStart(epoch, index);
    const rows = new Float32Array(count * d_in);
    let filled = 0;
    // In the order of the file, which is kinder to a disk; the window is shuffled anyway.
    for (const block of blocks.sort()) {
      const start = block * this.#blockRows;
      const read = await this.#reader.read(start, Math.min(this.#blockRows, n_rows - start));
      rows.set(read, filled);
      filled += read.length;
    }
    return { number, rows, order: permutation(count, this.#seed, epoch, 1 + index) };
  }
}

function copyRow(from: Float32Array, row: number, to: Float32Array, slot: number, d_in: number): void {
  to.set(from.subarray(row * d_in, (row + 1) * d_in), slot * d_in);
}
