import { type Heap, rowsOf, transpose } from "./heap.ts";

/** Places of a linear layer: weight [inputs, outputs] and bias [outputs], and their gradients. */
export interface LinearPlaces {
  weight: number;
  bias: number;
  weightGradient: number;
  biasGradient: number;
  inputs: number;
  outputs: number;
}

/** y [rows, outputs] = x W + b, or added to y. */
export function linearForward(
  heap: Heap,
  { weight, bias, inputs, outputs }: LinearPlaces,
  x: number,
  y: number,
  rows: number,
  accumulate: boolean,
): void {
  const f = heap.floats;
  for (let row = 0; row < rows; row++) {
    const at = y + row * outputs;
    if (accumulate) for (let i = 0; i < outputs; i++) f[at + i]! += f[bias + i]!;
    else f.copyWithin(at, bias, bias + outputs);
  }
  heap.multiply(rowsOf(x, inputs), rowsOf(weight, outputs), rowsOf(y, outputs), rows, outputs, inputs, true);
}

/** dx = dy Wᵀ, and adds to the gradients of W and b. @param scratch room for W. */
export function linearBackward(
  heap: Heap,
  { weight, weightGradient, biasGradient, inputs, outputs }: LinearPlaces,
  x: number,
  dy: number,
  dx: number,
  rows: number,
  scratch: number,
): void {
  const f = heap.floats;
  for (let row = 0; row < rows; row++) {
    const at = dy + row * outputs;
    for (let i = 0; i < outputs; i++) f[biasGradient + i]! += f[at + i]!;
  }
  const outer = transpose(rowsOf(x, inputs));
  heap.multiply(outer, rowsOf(dy, outputs), rowsOf(weightGradient, outputs), inputs, outputs, rows, true);
  const turned = heap.transposed(rowsOf(weight, outputs), inputs, outputs, scratch);
  heap.multiply(rowsOf(dy, outputs), turned, rowsOf(dx, inputs), rows, inputs, outputs, false);
}
