import type { RowReader } from "./shuffle.ts";

/**
 * Hook points side by side: row i is row i of every reader, in their order, so that one shuffle moves them together.
 * What a transcoder (input, target) and a crosscoder (every hook point) train on.
 * @throws RangeError when the readers differ in their number of rows.
 */
export function joinRows(readers: readonly RowReader[]): RowReader {
  const n_rows = readers[0]?.n_rows ?? 0;
  const other = readers.find((reader) => reader.n_rows !== n_rows);
  if (other !== undefined) {
    throw new RangeError(`Rows cannot be joined: one reader has ${n_rows} of them, another ${other.n_rows}.`);
  }
  const only = readers[0];
  if (readers.length === 1 && only !== undefined) return only;
  const d_in = readers.reduce((sum, reader) => sum + reader.d_in, 0);
  return {
    n_rows,
    d_in,
    async read(start, count) {
      const parts = await Promise.all(readers.map((reader) => reader.read(start, count)));
      const rows = new Float32Array(count * d_in);
      let column = 0;
      for (const [index, part] of parts.entries()) {
        const width = readers[index]!.d_in;
        for (let row = 0; row < count; row++) {
          rows.set(part.subarray(row * width, (row + 1) * width), row * d_in + column);
        }
        column += width;
      }
      return rows;
    },
  };
}
