/** How well single columns of a table of activations tell the tokens of a label from the others. */

/** Values above 0 of one column, at ascending rows. */
export interface Column {
  rows: number[];
  values: number[];
}

export interface LabelScore {
  column: number;
  /** The label is said to hold where the column is above this. */
  threshold: number;
  f1: number;
  precision: number;
  recall: number;
  /** That a token of the label has the larger value than one without; equal ones count half. */
  auc: number;
}

/** Thresholds that are tried, as shares of a column's largest value. */
const shares = [0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6] as const;

/**
 * Chooses the column and threshold of the best F1 on the rows before `split` and measures it on those from there on.
 * @param holds whether the label holds for a row
 */
export function bestColumn(columns: readonly Column[], holds: Uint8Array, split: number): LabelScore | null {
  let best: { column: number; threshold: number; f1: number } | null = null;
  const positives = count(holds, 0, split);
  columns.forEach((values, column) => {
    const largest = values.values.reduce((most, value) => Math.max(most, value), 0);
    for (const share of shares) {
      const threshold = share * largest;
      const { f1 } = agreement(values, holds, 0, split, threshold, positives);
      if (best === null || f1 > best.f1) best = { column, threshold, f1 };
    }
  });
  const chosen = best as { column: number; threshold: number; f1: number } | null;
  const left = count(holds, split, holds.length);
  if (chosen === null || left === 0 || left === holds.length - split) return null;
  const { column, threshold } = chosen;
  const values = columns[column]!;
  return {
    column,
    threshold,
    ...agreement(values, holds, split, holds.length, threshold, left),
    auc: auc(values, holds, split, left),
  };
}

function count(holds: Uint8Array, first: number, end: number): number {
  let sum = 0;
  for (let row = first; row < end; row++) sum += holds[row]!;
  return sum;
}

function agreement(
  { rows, values }: Column,
  holds: Uint8Array,
  first: number,
  end: number,
  threshold: number,
  positives: number,
): { f1: number; precision: number; recall: number } {
  let said = 0;
  let right = 0;
  for (let at = 0; at < rows.length; at++) {
    const row = rows[at]!;
    if (row < first || row >= end || values[at]! <= threshold) continue;
    said++;
    right += holds[row]!;
  }
  const precision = said === 0 ? 0 : right / said;
  const recall = positives === 0 ? 0 : right / positives;
  return { f1: right === 0 ? 0 : (2 * right) / (said + positives), precision, recall };
}

/** Over the rows from `first` on, `positives` of which have the label. */
function auc({ rows, values }: Column, holds: Uint8Array, first: number, positives: number): number {
  const negatives = holds.length - first - positives;
  const order = rows.flatMap((row, at) => (row < first ? [] : [at])).sort((a, b) => values[a]! - values[b]!);
  const firing = order.reduce((sum, at) => sum + holds[rows[at]!]!, 0);
  // All that do not fire are equal, and below all that do.
  let below = negatives - (order.length - firing);
  let wins = ((positives - firing) * below) / 2;
  for (let start = 0; start < order.length; ) {
    let end = start;
    let right = 0;
    while (end < order.length && values[order[end]!] === values[order[start]!])
      right += holds[rows[order[end++]!]!]!;
    const wrong = end - start - right;
    wins += right * (below + wrong / 2);
    below += wrong;
    start = end;
  }
  return wins / (positives * negatives);
}
