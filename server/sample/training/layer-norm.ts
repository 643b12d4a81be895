import { epsilon } from "./shape.ts";

/** Places of a norm over rows of `width` floats, with what its backward pass needs. */
export interface NormPlaces {
  /** [width] each. */
  gain: number;
  bias: number;
  gainGradient: number;
  biasGradient: number;
  /** Rows before the gain [rows, width], and 1 / deviation [rows]. */
  unit: number;
  inverse: number;
}

/** y = gain * (x - mean) / sqrt(variance + eps) + bias. */
export function normForward(
  f: Float32Array,
  p: NormPlaces,
  x: number,
  y: number,
  rows: number,
  width: number,
): void {
  for (let row = 0; row < rows; row++) {
    const at = row * width;
    let sum = 0;
    for (let i = 0; i < width; i++) sum += f[x + at + i]!;
    const mean = sum / width;
    let squares = 0;
    for (let i = 0; i < width; i++) {
      const distance = f[x + at + i]! - mean;
      squares += distance * distance;
    }
    const inverse = 1 / Math.sqrt(squares / width + epsilon);
    f[p.inverse + row] = inverse;
    for (let i = 0; i < width; i++) {
      const unit = (f[x + at + i]! - mean) * inverse;
      f[p.unit + at + i] = unit;
      f[y + at + i] = unit * f[p.gain + i]! + f[p.bias + i]!;
    }
  }
}

/** Adds to dx, and to the gradients of gain and bias, what dy gives. */
export function normBackward(
  f: Float32Array,
  p: NormPlaces,
  dy: number,
  dx: number,
  rows: number,
  width: number,
): void {
  for (let row = 0; row < rows; row++) {
    const at = row * width;
    let sum = 0;
    let along = 0;
    for (let i = 0; i < width; i++) {
      const gradient = f[dy + at + i]!;
      const unit = f[p.unit + at + i]!;
      f[p.gainGradient + i]! += gradient * unit;
      f[p.biasGradient + i]! += gradient;
      const scaled = gradient * f[p.gain + i]!;
      sum += scaled;
      along += scaled * unit;
    }
    sum /= width;
    along /= width;
    const inverse = f[p.inverse + row]!;
    for (let i = 0; i < width; i++) {
      const scaled = f[dy + at + i]! * f[p.gain + i]!;
      f[dx + at + i]! += inverse * (scaled - sum - f[p.unit + at + i]! * along);
    }
  }
}
