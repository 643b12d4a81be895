import { expect, it } from "vitest";
import { concatenateRows } from "../../gpu/data/concatenated-rows.ts";
import { joinRows } from "../../gpu/data/joined-rows.ts";
import type { RowReader } from "../../gpu/data/shuffle.ts";
import { StoredSource } from "../../gpu/data/stored-rows.ts";

/** Number c of row r is base + 10 r + c. */
function rows(n_rows: number, d_in: number, base: number): RowReader {
  return {
    n_rows,
    d_in,
    read: (start, count) =>
      Promise.resolve(
        Float32Array.from(
          { length: count * d_in },
          (_, at) => base + 10 * (start + Math.floor(at / d_in)) + (at % d_in),
        ),
      ),
  };
}

it("joins hook points of different widths side by side", async () => {
  const joined = joinRows([rows(5, 2, 0), rows(5, 3, 100), rows(5, 1, 200)]);
  expect(joined).toMatchObject({ n_rows: 5, d_in: 6 });
  expect([...(await joined.read(3, 2))]).toEqual([30, 31, 130, 131, 132, 230, 40, 41, 140, 141, 142, 240]);
  expect(() => joinRows([rows(5, 2, 0), rows(4, 2, 0)])).toThrow("one reader has 5 of them, another 4");
});

it("reads rows across the seams of files", async () => {
  const all = concatenateRows([rows(2, 2, 0), rows(1, 2, 100), rows(3, 2, 200)]);
  expect(all).toMatchObject({ n_rows: 6, d_in: 2 });
  expect([...(await all.read(1, 4))]).toEqual([10, 11, 100, 101, 200, 201, 210, 211]);
  expect([...(await all.read(5, 1))]).toEqual([220, 221]);
  expect([...(await all.read(0, 6))]).toHaveLength(12);
  expect(() => concatenateRows([rows(2, 2, 0), rows(2, 3, 0)])).toThrow("Rows of width 2 and 3");
});

it("takes rows in order and around, and evaluates from the start", async () => {
  const source = new StoredSource(rows(5, 1, 0), { seed: 9, shuffle: false });
  const batch = async (stream: "training" | "evaluation", number: number) => {
    const out = new Float32Array(3);
    await source.batch(stream, number, out);
    return [...out].map((value) => value / 10);
  };
  expect(await batch("training", 0)).toEqual([0, 1, 2]);
  expect(await batch("training", 1)).toEqual([3, 4, 0]);
  expect(await batch("training", 2)).toEqual([1, 2, 3]);
  expect(await batch("evaluation", 0)).toEqual([0, 1, 2]);
  expect(await batch("evaluation", 1)).toEqual([3, 4, 0]);
  expect(source.heldBytes).toBe(0);
});

it("shuffles joined rows together", async () => {
  const source = new StoredSource(joinRows([rows(40, 1, 0), rows(40, 1, 1000)]), { seed: 1 });
  const out = new Float32Array(80);
  await source.batch("training", 0, out);
  const [left, right] = [0, 1].map((column) => [...out].filter((_, at) => at % 2 === column));
  expect(right).toEqual(left!.map((value) => value + 1000));
  expect(left).not.toEqual(left!.toSorted((a, b) => a - b));
});
