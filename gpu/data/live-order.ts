import { permutation } from "./shuffle.ts";
import type { BatchStream } from "./source.ts";

/** Rows that a batch takes from one window, in order. */
export interface WindowRows {
  window: LiveWindow;
  /** Numbers of the rows within the window. */
  rows: Uint32Array<ArrayBuffer>;
}

/** Sequences whose rows lie in the buffer together. */
export interface LiveWindow {
  /** Equal for windows of equal rows. */
  key: string;
  sequences: Uint32Array;
  /** Rows that they give. */
  rows: number;
}

export interface LiveOrderOptions {
  /** Rows that each sequence gives, of all sequences of the stream. */
  counts: Uint32Array;
  /** Number of the first of them among all. */
  first: number;
  /** Most sequences of a window. */
  windowSequences: number;
  seed: number;
}

/**
 * The order in which a stream's rows come: each epoch puts its sequences in a new random order, cuts them into windows of
 * about equal size, and gives each window's rows in random order. Every row comes once per epoch. Where all fit one
 * window, it holds them for good and only their order changes.
 */
export class LiveOrder {
  /** Rows of an epoch. */
  readonly n_rows: number;
  readonly #counts: Uint32Array;
  readonly #first: number;
  readonly #windowSequences: number;
  readonly #windows: number;
  readonly #seed: number;
  readonly #stream: BatchStream;
  #epoch = -1;
  #order: Uint32Array = new Uint32Array(0);
  /** Rows of the epoch before each window, and after the last. */
  #starts: number[] = [];
  #shuffled: { epoch: number; window: number; rows: Uint32Array } | null = null;

  constructor(stream: BatchStream, { counts, first, windowSequences, seed }: LiveOrderOptions) {
    this.n_rows = counts.reduce((sum, count) => sum + count, 0);
    this.#counts = counts;
    this.#first = first;
    this.#windows = Math.ceil(counts.length / windowSequences);
    this.#windowSequences = Math.ceil(counts.length / this.#windows);
    this.#seed = seed;
    this.#stream = stream;
  }

  /** Most rows of a window, whatever the order. */
  get mostWindowRows(): number {
    const largest = Uint32Array.from(this.#counts).sort().reverse();
    return largest.subarray(0, this.#windowSequences).reduce((sum, count) => sum + count, 0);
  }

  /** What rows start … start + count − 1 of the epochs laid end to end are, window by window. */
  *rows(start: number, count: number): Generator<WindowRows> {
    for (let done = 0; done < count; ) {
      const epoch = Math.floor((start + done) / this.n_rows);
      const within = (start + done) % this.n_rows;
      this.#enter(epoch);
      const index = this.#starts.findLastIndex((before) => before <= within);
      const from = within - this.#starts[index]!;
      const taken = Math.min(count - done, this.#starts[index + 1]! - within);
      const order = this.#shuffle(epoch, index);
      yield { window: this.#window(epoch, index), rows: order.slice(from, from + taken) };
      done += taken;
    }
  }

  /** Order of an epoch's sequences. One window keeps the order of the set, so that its rows need not be made again. */
  #enter(epoch: number): void {
    if (epoch === this.#epoch) return;
    const n = this.#counts.length;
    const part = this.#stream === "training" ? 0 : 1;
    this.#order =
      this.#windows === 1
        ? Uint32Array.from({ length: n }, (_, index) => index)
        : permutation(n, this.#seed, epoch, part);
    this.#starts = [];
    let before = 0;
    for (const [place, sequence] of this.#order.entries()) {
      if (place % this.#windowSequences === 0) this.#starts.push(before);
      before += this.#counts[sequence]!;
    }
    this.#starts.push(before);
    this.#epoch = epoch;
  }

  #window(epoch: number, index: number): LiveWindow {
    const from = index * this.#windowSequences;
    const sequences = this.#order.slice(from, from + this.#windowSequences).map((at) => this.#first + at);
    return {
      key: `${this.#stream} ${this.#windows === 1 ? "all" : `${epoch} ${index}`}`,
      sequences,
      rows: this.#starts[index + 1]! - this.#starts[index]!,
    };
  }

  #shuffle(epoch: number, window: number): Uint32Array<ArrayBuffer> {
    if (this.#shuffled?.epoch !== epoch || this.#shuffled.window !== window) {
      const count = this.#starts[window + 1]! - this.#starts[window]!;
      // Parts 0 and 1 are the orders of sequences.
      const part = 2 + 2 * window + (this.#stream === "training" ? 0 : 1);
      this.#shuffled = { epoch, window, rows: permutation(count, this.#seed, epoch, part) };
    }
    return this.#shuffled.rows as Uint32Array<ArrayBuffer>;
  }
}
