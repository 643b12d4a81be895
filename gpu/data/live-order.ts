import { permutation } from "./shuffle.ts";

/** Text tokens `first` … `first + count − 1` of a sequence, counted among its text tokens. */
export interface TextSpan {
  sequence: number;
  first: number;
  count: number;
}

/** Rows of a window: what fills it, slot after slot, and the slot of each of its positions. */
export interface LiveWindow {
  spans: TextSpan[];
  order: Uint32Array<ArrayBuffer>;
}

/**
 * The order in which the text tokens of some sequences are met, epoch after epoch: a function of its counters alone.
 * Position p is in epoch ⌊p / n_rows⌋; each epoch puts the sequences in a new random order and takes their text tokens one
 * after another.
 */
export class LiveOrder {
  /** Text tokens of all sequences: rows of an epoch. */
  readonly n_rows: number;
  readonly #first: number;
  readonly #counts: Uint32Array;
  readonly #seed: number;
  readonly #series: number;
  #epoch = -1;
  #sequences: Uint32Array = new Uint32Array(0);
  /** Positions of the epoch before each sequence in its order, and all of them. */
  #before: Float64Array = new Float64Array(0);

  /**
   * @param first number of the first sequence; `counts` holds the text tokens of it and of those that follow.
   * @param series keeps orders of one seed apart.
   */
  constructor(options: { first: number; counts: Uint32Array; seed: number; series: number }) {
    this.#first = options.first;
    this.#counts = options.counts;
    this.#seed = options.seed;
    this.#series = options.series;
    this.n_rows = options.counts.reduce((sum, count) => sum + count, 0);
  }

  /** The rows at positions start … start + count − 1, as they lie in their sequences. */
  spans(start: number, count: number): TextSpan[] {
    const spans: TextSpan[] = [];
    for (let done = 0; done < count; ) {
      const epoch = Math.floor((start + done) / this.n_rows);
      const within = (start + done) % this.n_rows;
      this.#enter(epoch);
      for (let at = this.#placeOf(within); at < this.#sequences.length && done < count; at++) {
        const sequence = this.#sequences[at]!;
        const first = Math.max(0, within - this.#before[at]!);
        const taken = Math.min(this.#counts[sequence]! - first, count - done);
        if (taken > 0) spans.push({ sequence: this.#first + sequence, first, count: taken });
        done += taken;
      }
    }
    return spans;
  }

  /**
   * Positions number · size … of the epochs in a window whose rows are shuffled. Rows of two epochs that meet in it stay
   * apart, so that every row comes once before any comes twice.
   */
  window(number: number, size: number): LiveWindow {
    const start = number * size;
    const order = new Uint32Array(size);
    for (let done = 0; done < size; ) {
      const epoch = Math.floor((start + done) / this.n_rows);
      const count = Math.min(size - done, (epoch + 1) * this.n_rows - (start + done));
      permutation(count, this.#seed, epoch, this.#series + 2 + 2 * number).forEach((slot, i) => {
        order[done + i] = done + slot;
      });
      done += count;
    }
    return { spans: this.spans(start, size), order };
  }

  /** Every row once, in the order of the sequences. */
  all(): TextSpan[] {
    return Array.from(this.#counts, (count, i) => ({ sequence: this.#first + i, first: 0, count })).filter(
      ({ count }) => count > 0,
    );
  }

  /** Slots in `all()` of the rows at positions start … start + count − 1, where every epoch is shuffled whole. */
  shuffled(start: number, count: number): Uint32Array<ArrayBuffer> {
    const slots = new Uint32Array(count);
    for (let done = 0; done < count; ) {
      const epoch = Math.floor((start + done) / this.n_rows);
      const within = (start + done) % this.n_rows;
      const taken = Math.min(count - done, this.n_rows - within);
      slots.set(this.#wholeOrder(epoch).subarray(within, within + taken), done);
      done += taken;
    }
    return slots;
  }

  #whole: { epoch: number; order: Uint32Array } | null = null;

  #wholeOrder(epoch: number): Uint32Array {
    if (this.#whole?.epoch !== epoch) {
      this.#whole = { epoch, order: permutation(this.n_rows, this.#seed, epoch, this.#series) };
    }
    return this.#whole.order;
  }

  #enter(epoch: number): void {
    if (epoch === this.#epoch) return;
    this.#sequences = permutation(this.#counts.length, this.#seed, epoch, this.#series);
    this.#before = new Float64Array(this.#counts.length + 1);
    this.#sequences.forEach((sequence, at) => {
      this.#before[at + 1] = this.#before[at]! + this.#counts[sequence]!;
    });
    this.#epoch = epoch;
  }

  /** Place in the epoch's order of the sequence that position `within` of the epoch is in. */
  #placeOf(within: number): number {
    let [low, high] = [0, this.#sequences.length];
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.#before[middle]! <= within) low = middle;
      else high = middle;
    }
    return low;
  }
}
