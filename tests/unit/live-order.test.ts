import { describe, expect, test } from "vitest";
import { LiveOrder, type TextSpan } from "../../gpu/data/live-order.ts";

const counts = Uint32Array.from([5, 0, 3, 7, 1, 4, 6]);
const rows = 26;

function order(seed = 3, series = 0) {
  return new LiveOrder({ first: 10, counts, seed, series });
}

/** Each row as sequence/place. */
function rowsOf(spans: readonly TextSpan[]): string[] {
  return spans.flatMap(({ sequence, first, count }) =>
    Array.from({ length: count }, (_, i) => `${sequence}/${first + i}`),
  );
}

const everyRow = rowsOf(order().all()).sort();

describe("the order of live rows", () => {
  test("has every row once per epoch, however it is cut", () => {
    expect(everyRow.length).toBe(rows);
    expect(new Set(everyRow).size).toBe(rows);
    for (const step of [1, 4, 9, 26, 40]) {
      const met: string[] = [];
      for (let start = 0; start < 3 * rows; start += step) met.push(...rowsOf(order().spans(start, step)));
      for (const epoch of [0, 1, 2]) {
        expect(met.slice(epoch * rows, (epoch + 1) * rows).sort()).toEqual(everyRow);
      }
    }
  });

  test("is another in the next epoch, of another seed, and of another series", () => {
    const epoch = (of: LiveOrder, number: number) => rowsOf(of.spans(number * rows, rows));
    const first = epoch(order(), 0);
    expect(epoch(order(), 0)).toEqual(first);
    for (const other of [epoch(order(), 1), epoch(order(4), 0), epoch(order(3, 1), 0)]) {
      expect(other).not.toEqual(first);
    }
  });

  test("is shuffled within windows, whose rows of two epochs stay apart", () => {
    for (const size of [8, 12, 30, 60]) {
      const met: string[] = [];
      const unshuffled: string[] = [];
      for (let number = 0; number * size < 3 * rows; number++) {
        const { spans, order: slots } = order().window(number, size);
        const filled = rowsOf(spans);
        expect(filled.length).toBe(size);
        expect([...slots].sort((a, b) => a - b)).toEqual([...filled.keys()]);
        unshuffled.push(...filled);
        met.push(...Array.from(slots, (slot) => filled[slot]!));
      }
      expect(met).not.toEqual(unshuffled);
      for (const epoch of [0, 1, 2]) {
        expect(met.slice(epoch * rows, (epoch + 1) * rows).sort()).toEqual(everyRow);
      }
    }
  });

  test("mixes sequences: neighbours of a sequence are no neighbours in a window", () => {
    const many = new LiveOrder({ first: 0, counts: new Uint32Array(64).fill(32), seed: 1, series: 0 });
    const { spans, order: slots } = many.window(0, 1024);
    const sequences = spans.flatMap(({ sequence, count }) => new Array<number>(count).fill(sequence));
    const batch = Array.from(slots.subarray(0, 64), (slot) => sequences[slot]!);
    // 64 draws out of 32 sequences hit 28 of them in the mean.
    expect(new Set(batch).size).toBeGreaterThan(20);
  });

  test("shuffles a set that fits into the window whole", () => {
    for (const epoch of [0, 1]) {
      const slots = [...order().shuffled(epoch * rows, rows)];
      expect(slots.toSorted((a, b) => a - b)).toEqual(everyRow.map((_, i) => i));
    }
    expect([...order().shuffled(0, rows)]).not.toEqual([...order().shuffled(rows, rows)]);
    expect([...order().shuffled(20, 12)]).toEqual([
      ...[...order().shuffled(0, rows)].slice(20),
      ...[...order().shuffled(rows, rows)].slice(0, 6),
    ]);
  });
});
