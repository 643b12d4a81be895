import { z } from "zod";

const finite = z.number();

export const rowSumsSchema = z.object({
  rows: z.number().int().min(0),
  /** [d_in]. */
  sum: z.array(finite),
  norms: finite,
});
export type RowSums = z.output<typeof rowSumsSchema>;

/** Mean row and norms of rows that come piece by piece; what was added before can be taken up again, to the last bit. */
export class RowStatistics {
  #rows = 0;
  readonly #sum: Float64Array;
  #norms = 0;

  constructor(d_in: number, from: RowSums | null = null) {
    this.#sum = new Float64Array(d_in);
    if (from === null) return;
    this.#rows = from.rows;
    this.#sum.set(from.sum);
    this.#norms = from.norms;
  }

  /** One row of [n, d_in]. */
  add(values: Float32Array, row: number): void {
    const d_in = this.#sum.length;
    let squares = 0;
    for (let column = 0; column < d_in; column++) {
      const value = values[row * d_in + column]!;
      squares += value * value;
      this.#sum[column]! += value;
    }
    this.#norms += Math.sqrt(squares);
    this.#rows++;
  }

  get sums(): RowSums {
    return { rows: this.#rows, sum: [...this.#sum], norms: this.#norms };
  }

  summary(): { mean: number[]; mean_norm: number; norm_of_mean: number } {
    const mean = Array.from(this.#sum, (value) => value / this.#rows);
    return {
      mean,
      mean_norm: this.#norms / this.#rows,
      norm_of_mean: Math.sqrt(mean.reduce((squares, value) => squares + value * value, 0)),
    };
  }
}
