import { captureMask } from "../artifacts/captured-manifest.ts";

/** Rows whose norms the median is of. */
export const medianRows = 16_384;

/** Norm of each hook point beyond which a row is an outlier. */
export type Thresholds = Readonly<Record<string, number>>;

/** Activations of whole sequences, by hook point, and their tokens' mask. */
export interface Batch {
  mask: Uint8Array;
  activations: ReadonlyMap<string, Float32Array>;
}

/**
 * Thresholds from the first rows of text: `norm` medians of their norms, at each hook point. dictionary_learning leaves out
 * rows beyond ten medians (its `max_activation_norm_multiple`): the few of them, most of all a sequence's first, are many
 * times the size of all others and would decide the loss.
 * @param batches In the order of the sequences; no more are asked for than are needed.
 */
export async function outlierThresholds(
  hooks: readonly string[],
  norm: number,
  batches: AsyncIterable<Batch>,
): Promise<Thresholds> {
  const norms = new Map(hooks.map((hook) => [hook, [] as number[]]));
  for await (const { mask, activations } of batches) {
    for (const [hook, own] of norms) {
      const values = activations.get(hook)!;
      const width = values.length / mask.length;
      for (let row = 0; row < mask.length && own.length < medianRows; row++) {
        if (mask[row] === captureMask.text) own.push(normOf(values, row, width));
      }
    }
    if ((norms.get(hooks[0]!)?.length ?? 0) >= medianRows) break;
  }
  return Object.fromEntries(Array.from(norms, ([hook, own]) => [hook, norm * median(own)]));
}

/** Marks a token whose row is an outlier at any of the hook points, so that row i of every set is the same token's. */
export function maskOutliers({ mask, activations }: Batch, thresholds: Thresholds): Uint8Array {
  const marked = mask.slice();
  for (const [hook, most] of Object.entries(thresholds)) {
    const values = activations.get(hook)!;
    const width = values.length / mask.length;
    for (let row = 0; row < mask.length; row++) {
      if (mask[row] === captureMask.text && normOf(values, row, width) > most) {
        marked[row] = captureMask.outlier;
      }
    }
  }
  return marked;
}

function normOf(values: Float32Array, row: number, width: number): number {
  let squares = 0;
  for (let at = row * width; at < (row + 1) * width; at++) squares += values[at]! * values[at]!;
  return Math.sqrt(squares);
}

function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
