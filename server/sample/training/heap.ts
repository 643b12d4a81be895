import { matmulModule } from "./matmul-module.ts";

type Multiply = (
  ...places: [number, number, number, number, number, number, number, number, number, number, number]
) => void;

/** The module's memory grows by pages of this many bytes. */
const pageBytes = 65_536;

/** A matrix in the heap by rows: element (i, j) is at `at + i * row + j * column`, in floats. */
export interface Matrix {
  at: number;
  row: number;
  column: number;
}

/** By rows, without gaps. */
export const rowsOf = (at: number, row: number): Matrix => ({ at, row, column: 1 });
/** The same elements with rows and columns exchanged. */
export const transpose = ({ at, row, column }: Matrix): Matrix => ({ at, row: column, column: row });

/** Float32 memory of fixed size, in which the SIMD product works. */
export class Heap {
  readonly floats: Float32Array<ArrayBuffer>;
  readonly #multiply: Multiply;
  #used = 4;

  constructor(floats: number) {
    const memory = new WebAssembly.Memory({ initial: Math.ceil((4 * (floats + 4)) / pageBytes) });
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(matmulModule), { host: { memory } });
    this.#multiply = exports.multiply as Multiply;
    this.floats = new Float32Array(memory.buffer as ArrayBuffer);
  }

  /** Room for `count` floats, zeros; the place of the first. */
  allocate(count: number): number {
    const at = this.#used;
    this.#used += Math.ceil(count / 4) * 4;
    if (this.#used > this.floats.length)
      throw new RangeError(`The heap of ${this.floats.length} floats is full.`);
    return at;
  }

  view(at: number, count: number): Float32Array<ArrayBuffer> {
    return this.floats.subarray(at, at + count);
  }

  /**
   * c [m, n] = a [m, k] b [k, n], or added to c. The rows of b and c lie without gaps between columns; m is a multiple
   * of 4 and n of 8.
   */
  multiply(a: Matrix, b: Matrix, c: Matrix, m: number, n: number, k: number, accumulate: boolean): void {
    if (m % 4 !== 0 || n % 8 !== 0 || k < 1 || b.column !== 1 || c.column !== 1) {
      throw new RangeError(`No product of [${m}, ${k}] and [${k}, ${n}] with these strides.`);
    }
    this.#multiply(
      ...([4 * a.at, 4 * a.row, 4 * a.column, 4 * b.at, 4 * b.row] as const),
      ...([4 * c.at, 4 * c.row, m, n, k, accumulate ? 1 : 0] as const),
    );
  }

  /** Writes a [rows, columns] to `to` as [columns, rows]. */
  transposed(a: Matrix, rows: number, columns: number, to: number): Matrix {
    const { floats } = this;
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) floats[to + j * rows + i] = floats[a.at + i * a.row + j * a.column]!;
    }
    return rowsOf(to, rows);
  }
}
