import { createHash } from "node:crypto";
import type { RowReader } from "../../gpu/data/shuffle.ts";
import type { ActivationTensor } from "../artifacts/activation-tensor.ts";
import { ServiceError } from "../errors.ts";
import type { ActivationFile } from "./activations.ts";

/** Read at a time. */
const chunkBytes = 4 * 2 ** 20;

/** Activations that nothing can be trained on or measured with. */
export class NonFiniteActivationsError extends ServiceError {
  override readonly name = "NonFiniteActivationsError";
  readonly file: string;
  /** From 0, in the file's tensor. */
  readonly row: number;
  readonly column: number;
  constructor(file: string, tensor: string, at: { row: number; column: number }, badRows: number) {
    super(
      "invalid",
      `${file}: ${badRows === 1 ? "1 row" : `${badRows} rows`} of "${tensor}" ${badRows === 1 ? "holds" : "hold"} NaN or infinity, ` +
        `first at row ${at.row}, column ${at.column} (from 0). Remove ${badRows === 1 ? "it" : "them"}, or capture the activations again in a wider number format.`,
    );
    this.file = file;
    this.row = at.row;
    this.column = at.column;
  }
}

/**
 * Reads a file's activations, or its first rows, once. Returns the SHA-256 of these stored numbers: equal activations of
 * one dtype have equal ones, whatever the file is called.
 * @throws NonFiniteActivationsError for the first number that is not finite; the reason of `signal`.
 */
export async function scanActivations(
  { file, tensor, readStored }: ActivationFile,
  onRows: (rows: number) => void = () => undefined,
  signal?: AbortSignal,
  most = tensor.n_tokens,
): Promise<string> {
  const { dtype, info, n_tokens, d_in } = tensor;
  const end = Math.min(most, n_tokens);
  const hash = createHash("sha256");
  const rowsAtOnce = Math.max(1, Math.floor((chunkBytes * n_tokens) / info.bytes));
  let first: { row: number; column: number } | null = null;
  let badRows = 0;
  for (let row = 0; row < end; row += rowsAtOnce) {
    signal?.throwIfAborted();
    const count = Math.min(rowsAtOnce, end - row);
    const bytes = await readStored(row, count);
    hash.update(bytes);
    for (const at of nonFiniteRows(bytes, dtype, d_in)) {
      first ??= { row: row + at.row, column: at.column };
      badRows++;
    }
    onRows(count);
  }
  if (first !== null) throw new NonFiniteActivationsError(file, info.name, first, badRows);
  return hash.digest("hex");
}

/**
 * Reads the first rows of a set.
 * @throws NonFiniteActivationsError where they are damaged; the reason of `signal`
 */
export async function scanRows(
  reader: RowReader,
  location: string,
  most: number,
  signal: AbortSignal,
): Promise<void> {
  const { n_rows, d_in } = reader;
  const end = Math.min(most, n_rows);
  const together = Math.max(1, Math.floor(chunkBytes / (4 * d_in)));
  for (let row = 0; row < end; row += together) {
    signal.throwIfAborted();
    const values = await reader.read(row, Math.min(together, end - row));
    const bad = values.findIndex((value) => !Number.isFinite(value));
    if (bad < 0) continue;
    const at = { row: row + Math.floor(bad / d_in), column: bad % d_in };
    throw new NonFiniteActivationsError(location, "rows", at, 1);
  }
}

/** A number is NaN or infinite when all bits of its exponent are set. */
const exponentBits = { F32: 0x7f80_0000, F16: 0x7c00, BF16: 0x7f80 } as const;

/** First such number of every row that has one. */
function* nonFiniteRows(
  bytes: Uint8Array,
  dtype: ActivationTensor["dtype"],
  d_in: number,
): Generator<{ row: number; column: number }> {
  const mask = exponentBits[dtype];
  const numbers =
    dtype === "F32"
      ? new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
      : new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  for (let index = 0; index < numbers.length; index++) {
    if ((numbers[index]! & mask) !== mask) continue;
    const row = Math.floor(index / d_in);
    yield { row, column: index - row * d_in };
    index = (row + 1) * d_in - 1;
  }
}
