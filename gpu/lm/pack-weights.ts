import { float16Bits } from "../data/to-float16.ts";

/** Rows of a weight as 8-bit numbers with their scales. */
export interface PackedRows {
  /** [rows, width]. */
  numbers: Int8Array<ArrayBuffer>;
  /** [rows]; zero for a row of zeros. */
  scales: Float32Array<ArrayBuffer>;
}

/** Largest of the 8-bit numbers; −128 is left out, so that the numbers lie evenly about zero. */
const largestNumber = 127;

/**
 * Each row by its own scale max |w| / 127, every number the nearest.
 * @param values f32 [rows, width], finite.
 */
export function packRows(values: Float32Array<ArrayBuffer>, width: number): PackedRows {
  const rows = values.length / width;
  const numbers = new Int8Array(values.length);
  const scales = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const end = (row + 1) * width;
    let largest = 0;
    for (let i = row * width; i < end; i++) largest = Math.max(largest, Math.abs(values[i]!));
    scales[row] = largest / largestNumber;
    const scale = scales[row]!;
    if (scale === 0) continue;
    for (let i = row * width; i < end; i++) {
      // A scale that was rounded down would give a little more than 127.
      const number = Math.round(values[i]! / scale);
      numbers[i] = Math.max(-largestNumber, Math.min(largestNumber, number));
    }
  }
  return { numbers, scales };
}

/** Halves of finite numbers, and the place of the first one that f16 does not hold; −1: it holds all. */
export function packHalves(values: Float32Array<ArrayBuffer>): {
  halves: Uint16Array<ArrayBuffer>;
  beyond: number;
} {
  const halves = float16Bits(values);
  return { halves, beyond: halves.findIndex((bits) => (bits & 0x7fff) >= 0x7c00) };
}
