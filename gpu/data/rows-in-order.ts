import type { RowReader, ShuffledRows } from "./shuffle.ts";

/**
 * Rows as they are stored, epoch after epoch: position p is row p mod n_rows. For data that is shuffled already, and
 * for runs that must see given rows at given steps. Holds no rows: those of a batch are read when they are wanted.
 */
export class RowsInOrder implements ShuffledRows {
  readonly heldBytes = 0;
  readonly #reader: RowReader;

  constructor(reader: RowReader) {
    this.#reader = reader;
  }

  async gather(start: number, out: Float32Array): Promise<void> {
    const { n_rows, d_in } = this.#reader;
    const count = out.length / d_in;
    for (let slot = 0; slot < count; ) {
      const row = (start + slot) % n_rows;
      const read = Math.min(count - slot, n_rows - row);
      out.set(await this.#reader.read(row, read), slot * d_in);
      slot += read;
    }
  }

  async pick(rows: Float64Array, out: Float32Array): Promise<void> {
    const { d_in } = this.#reader;
    for (const [slot, row] of rows.entries()) out.set(await this.#reader.read(row, 1), slot * d_in);
  }
}
