import { describe, expect, test } from "vitest";
import { LiveOrder } from "../../gpu/data/live-order.ts";

const counts = Uint32Array.from([3, 0, 5, 2, 4, 1, 3]);
const total = 18;

/** (sequence, row within it) of rows start … of a stream, as text. */
function taken(order: LiveOrder, start: number, count: number, first = 0): string[] {
  return [...order.rows(start, count)].flatMap(({ window, rows }) => {
    const all = Array.from(window.sequences, (sequence) =>
      Array.from({ length: counts[sequence - first]! }, (_, row) => `${sequence}.${row}`),
    ).flat();
    expect(all.length).toBe(window.rows);
    return Array.from(rows, (row) => all[row]!);
  });
}

const make = (windowSequences: number, first = 0, seed = 7) =>
  new LiveOrder("training", { counts, first, windowSequences, seed });

describe.each([1, 2, 3, 7, 50])("with windows of %d sequences", (windowSequences) => {
  test("every row comes once per epoch, in another order each time", () => {
    const order = make(windowSequences);
    expect(order.n_rows).toBe(total);
    const epochs = [0, 1, 2].map((epoch) => taken(order, epoch * total, total));
    for (const epoch of epochs) expect(new Set(epoch).size).toBe(total);
    expect(epochs[1]).not.toEqual(epochs[0]);
    expect(epochs[2]).not.toEqual(epochs[1]);
  });

  test("any piece is what it is in the whole, whatever was asked for before", () => {
    const whole = taken(make(windowSequences), 0, 3 * total);
    const order = make(windowSequences);
    for (const [start, count] of [
      [40, 7],
      [0, 5],
      [16, 4],
      [17, 20],
    ] as const) {
      expect(taken(order, start, count)).toEqual(whole.slice(start, start + count));
    }
  });

  test("no window gives more rows than was said", () => {
    const order = make(windowSequences);
    for (const { window } of order.rows(0, 5 * total)) {
      expect(window.rows).toBeLessThanOrEqual(order.mostWindowRows);
    }
  });
});

test("sequences are numbered from the first of the stream", () => {
  const rows = taken(make(2, 100), 0, total, 100);
  expect(rows.every((row) => row.startsWith("10"))).toBe(true);
});

test("windows with equal keys hold equal rows, and one window is never made again", () => {
  const keys = (order: LiveOrder) => [...order.rows(0, 3 * total)].map(({ window }) => window.key);
  expect(new Set(keys(make(50))).size).toBe(1);
  const several = [...make(2).rows(0, 3 * total)];
  const byKey = new Map<string, string>();
  for (const { window } of several) {
    const sequences = window.sequences.join();
    expect(byKey.get(window.key) ?? sequences).toBe(sequences);
    byKey.set(window.key, sequences);
  }
});

test("another seed is another order", () => {
  expect(taken(make(3, 0, 8), 0, total)).not.toEqual(taken(make(3, 0, 7), 0, total));
});
