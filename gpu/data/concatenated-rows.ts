import type { RowReader } from "./shuffle.ts";

/**
 * Readers of one width, one after another: the rows of the first, then those of the second, and so on.
 * @throws RangeError when the readers differ in width.
 */
export function concatenateRows(readers: readonly RowReader[]): RowReader {
  const d_in = readers[0]?.d_in ?? 0;
  const other = readers.find((reader) => reader.d_in !== d_in);
  if (other !== undefined) {
    throw new RangeError(`Rows of width ${d_in} and ${other.d_in} cannot follow one another.`);
  }
  const only = readers[0];
  if (readers.length === 1 && only !== undefined) return only;
  return {
    n_rows: readers.reduce((sum, reader) => sum + reader.n_rows, 0),
    d_in,
    async read(start, count) {
      const rows = new Float32Array(count * d_in);
      const end = start + count;
      let first = 0;
      for (const reader of readers) {
        const from = Math.max(start, first);
        const to = Math.min(end, first + reader.n_rows);
        if (from < to) rows.set(await reader.read(from - first, to - from), (from - start) * d_in);
        first += reader.n_rows;
      }
      return rows;
    },
  };
}
