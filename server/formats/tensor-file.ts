import { float32FromBf16, float32FromF16, float32FromF32 } from "../../gpu/data/float16.ts";
import { asFormatError, SaeFormatError } from "./sae-format-error.ts";

/*
 * Named tensors as a file stores them: safetensors, numpy's .npz and torch's .pt look alike from here on. Nothing is
 * read before it is asked for, and every size has been held against the file's by then.
 */

/** Dtypes by safetensors' names. */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** The elements, row-major, little-endian. Throws `SaeFormatError`. */
  bytes(): Promise<Uint8Array>;
}

export interface TensorFile {
  /** For messages. */
  readonly file: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  close(): Promise<void>;
}

/** Longest typed array. */
const maxBytes = 2 ** 32 - 8;

export function elementsOf({ shape }: Pick<StoredTensor, "shape">): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** "F32 [4, 3]" */
export function describeTensor({ dtype, shape }: Pick<StoredTensor, "dtype" | "shape">): string {
  return `${dtype} [${shape.join(", ")}]`;
}

/** A tensor of weights as float32: exact for F32, F16 and BF16, rounded for F64. Throws `SaeFormatError`. */
export async function readFloat32(
  { file }: Pick<TensorFile, "file">,
  tensor: StoredTensor,
): Promise<Float32Array<ArrayBuffer>> {
  const convert = floatReaders.get(tensor.dtype);
  if (convert === undefined) {
    throw new SaeFormatError(
      `${file}: ${tensor.name} is ${describeTensor(tensor)}; weights are F32, F16, BF16 or F64. Save them as one of these.`,
    );
  }
  if (4 * elementsOf(tensor) > maxBytes) {
    throw new SaeFormatError(
      `${file}: ${tensor.name} is ${describeTensor(tensor)}; ${maxBytes} bytes in float32 is the most that is read at once.`,
    );
  }
  try {
    return convert(await tensor.bytes());
  } catch (error) {
    throw asFormatError(file, error);
  }
}

const floatReaders: ReadonlyMap<string, (bytes: Uint8Array) => Float32Array<ArrayBuffer>> = new Map([
  ["F32", float32FromF32],
  ["F16", float32FromF16],
  ["BF16", float32FromBf16],
  ["F64", float32FromF64],
]);

function float32FromF64(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length: bytes.byteLength / 8 }, (_, at) => view.getFloat64(8 * at, true));
}

/** A few numbers beside the weights (k, a threshold, group sizes), of any dtype. Throws `SaeFormatError`. */
export async function readNumbers(file: Pick<TensorFile, "file">, tensor: StoredTensor): Promise<number[]> {
  if (elementsOf(tensor) > 1_000_000) {
    throw new SaeFormatError(
      `${file.file}: ${tensor.name} is ${describeTensor(tensor)}; few numbers were expected.`,
    );
  }
  const read = integerReaders.get(tensor.dtype);
  if (read === undefined) return [...(await readFloat32(file, tensor))];
  const bytes = await tensor.bytes();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: elementsOf(tensor) }, (_, at) => read(view, at));
}

const integerReaders: ReadonlyMap<string, (view: DataView, at: number) => number> = new Map([
  ["I64", (view, at) => Number(view.getBigInt64(8 * at, true))],
  ["I32", (view, at) => view.getInt32(4 * at, true)],
  ["I16", (view, at) => view.getInt16(2 * at, true)],
  ["I8", (view, at) => view.getInt8(at)],
  ["U8", (view, at) => view.getUint8(at)],
]);

/** [columns, rows] of a matrix [rows, columns]. */
export function transposed(matrix: Float32Array, rows: number, columns: number): Float32Array<ArrayBuffer> {
  const result = new Float32Array(matrix.length);
  // In blocks, so that what is read and what is written both stay in the cache.
  const block = 64;
  for (let top = 0; top < rows; top += block) {
    for (let left = 0; left < columns; left += block) {
      for (let row = top; row < Math.min(rows, top + block); row++) {
        for (let column = left; column < Math.min(columns, left + block); column++) {
          result[column * rows + row] = matrix[row * columns + column]!;
        }
      }
    }
  }
  return result;
}
