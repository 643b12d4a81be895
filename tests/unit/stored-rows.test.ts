import { describe, expect, it } from "vitest";
import { permutation, type RowReader } from "../../gpu/data/shuffle.ts";
import { StoredSource } from "../../gpu/data/stored-rows.ts";

const d_in = 3;

/** Row r holds r, r + ½, −r; counts what is read. */
function reader(n_rows: number) {
  const reads = { count: 0, rows: 0, fail: false };
  const rows: RowReader & { reads: typeof reads } = {
    n_rows,
    d_in,
    reads,
    async read(start, count) {
      if (reads.fail) throw new Error("the disk failed");
      if (start < 0 || count < 1 || start + count > n_rows) throw new RangeError(`read ${start} + ${count}`);
      reads.count++;
      reads.rows += count;
      await Promise.resolve();
      const values = new Float32Array(count * d_in);
      for (let row = 0; row < count; row++) {
        values.set([start + row, start + row + 0.5, -(start + row)], row * d_in);
      }
      return values;
    },
  };
  return rows;
}

async function batch(source: StoredSource, stream: "training" | "evaluation", number: number, rows: number) {
  const out = new Float32Array(rows * d_in);
  await source.batch(stream, number, out);
  return Array.from({ length: rows }, (_, slot) => {
    const row = out[slot * d_in]!;
    expect([...out.subarray(slot * d_in, (slot + 1) * d_in)]).toEqual([
      row,
      row + 0.5,
      row === 0 ? -0 : -row,
    ]);
    return row;
  });
}

async function positions(source: StoredSource, from: number, count: number, rows: number): Promise<number[]> {
  const all: number[] = [];
  for (let number = from; number < from + count; number++)
    all.push(...(await batch(source, "training", number, rows)));
  return all;
}

/** Budgets in rows: everything, about a third, a sliver. */
const cases = [
  { name: "in memory", n: 1000, budgetRows: 1000 },
  { name: "in windows", n: 1000, budgetRows: 400 },
  { name: "in windows of awkward size", n: 997, budgetRows: 333 },
  { name: "in windows of two rows", n: 101, budgetRows: 5 },
  { name: "in windows of one row", n: 7, budgetRows: 1 },
  { name: "of one row", n: 1, budgetRows: 1 },
];

for (const { name, n, budgetRows } of cases) {
  describe(`shuffled rows ${name}`, () => {
    const options = { seed: 5, memoryBudgetBytes: budgetRows * d_in * 4 };
    const source = () => new StoredSource(reader(n), options);
    const rows = 48;
    const perEpoch = Math.ceil(n / rows);

    it("gives every row once per epoch, the last batch of one beginning the next", async () => {
      const epochs = 3;
      const all = (await positions(source(), 0, epochs * perEpoch + 1, rows)).slice(0, epochs * n);
      for (let epoch = 0; epoch < epochs; epoch++) {
        const seen = all.slice(epoch * n, (epoch + 1) * n);
        expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, row) => row));
      }
      if (n > 10) {
        expect(all.slice(0, n)).not.toEqual(all.slice(n, 2 * n));
        expect(all.slice(n, 2 * n)).not.toEqual(all.slice(2 * n, 3 * n));
      }
    });

    it("goes on at any batch as if it had never stopped", async () => {
      const through = await positions(source(), 0, 2 * perEpoch, rows);
      for (const from of [1, perEpoch - 1, perEpoch, 2 * perEpoch - 1]) {
        const resumed = await positions(source(), from, 2 * perEpoch - from, rows);
        expect(resumed).toEqual(through.slice(from * rows));
      }
      const one = source();
      const forth = await batch(one, "training", perEpoch, rows);
      await batch(one, "training", 0, rows);
      expect(await batch(one, "training", perEpoch, rows)).toEqual(forth);
    });

    it("depends on the seed and not on the batch size", async () => {
      const wide = await positions(source(), 0, perEpoch, rows);
      expect(await positions(source(), 0, perEpoch * rows, 1)).toEqual(wide);
      const other = new StoredSource(reader(n), { ...options, seed: 6 });
      if (n > 10) expect(await positions(other, 0, perEpoch, rows)).not.toEqual(wide);
    });

    it("evaluates rows spread evenly, without moving the training order", async () => {
      const one = source();
      const before = await batch(one, "training", 1, rows);
      const count = Math.max(1, Math.min(40, Math.floor(n / 2)));
      const seen = [
        ...(await batch(one, "evaluation", 0, count)),
        ...(await batch(one, "evaluation", 1, count)),
      ];
      if (n > 1) expect(new Set(seen).size).toBe(2 * count);
      const sorted = [...seen].sort((a, b) => a - b);
      const gaps = sorted.slice(1).map((row, index) => row - sorted[index]!);
      if (n > 10) expect(Math.max(...gaps)).toBeLessThan((4 * n) / seen.length + 2);
      expect(await batch(one, "training", 1, rows)).toEqual(before);
      const all = await batch(source(), "evaluation", 0, n);
      expect(new Set(all).size).toBe(n);
    });

    it("holds no more than its budget, and reads no row more than once an epoch", async () => {
      const rowsOf = reader(n);
      const one = new StoredSource(rowsOf, options);
      if (budgetRows > 1) expect(one.heldBytes).toBeLessThanOrEqual(options.memoryBudgetBytes);
      await positions(one, 0, perEpoch, rows);
      // What is read past the epoch is the window under way and the next.
      expect(rowsOf.reads.rows).toBeLessThanOrEqual(n + 2 * budgetRows + rows);
    });
  });
}

describe("mixing", () => {
  /** Correlation of a row's number with its place in the epoch, and the mean distance of neighbours, over n. */
  async function mixing(n: number, budgetRows: number) {
    const source = new StoredSource(reader(n), { seed: 1, memoryBudgetBytes: budgetRows * d_in * 4 });
    const order = await positions(source, 0, 1, n);
    let product = 0;
    let distance = 0;
    for (const [place, row] of order.entries()) {
      product += (place / n - 0.5) * (row / n - 0.5);
      if (place > 0) distance += Math.abs(row - order[place - 1]!) / n;
    }
    return { correlation: (12 * product) / n, distance: distance / (n - 1) };
  }

  it("in memory: places are unrelated to row numbers, neighbours a third of the set apart", async () => {
    const { correlation, distance } = await mixing(20_000, 20_000);
    expect(Math.abs(correlation)).toBeLessThan(0.03);
    expect(Math.abs(distance - 1 / 3)).toBeLessThan(0.01);
  });

  it("in windows: nearly as well, because a window's blocks come from everywhere", async () => {
    const { correlation, distance } = await mixing(20_000, 4_000);
    expect(Math.abs(correlation)).toBeLessThan(0.15);
    expect(Math.abs(distance - 1 / 3)).toBeLessThan(0.05);
  });

  it("permutations are uniform: each of the 24 orders of 4 comes equally often", () => {
    const counts = new Map<string, number>();
    const trials = 24_000;
    for (let seed = 0; seed < trials; seed++) {
      const order = permutation(4, seed, 0, 0).join("");
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    const chiSquared = [...counts.values()].reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    // 23 degrees of freedom: above 50 with probability 0.001.
    expect(chiSquared).toBeLessThan(50);
  });
});

it("a failed read is told to who asked, and can be tried again", async () => {
  for (const budgetRows of [100, 30]) {
    const rowsOf = reader(100);
    const source = new StoredSource(rowsOf, { seed: 1, memoryBudgetBytes: budgetRows * d_in * 4 });
    rowsOf.reads.fail = true;
    await expect(batch(source, "training", 0, 10)).rejects.toThrow("the disk failed");
    rowsOf.reads.fail = false;
    expect(await batch(source, "training", 0, 10)).toHaveLength(10);
    rowsOf.reads.fail = true;
    if (budgetRows === 30) await expect(batch(source, "training", 5, 10)).rejects.toThrow("the disk failed");
    rowsOf.reads.fail = false;
    expect(await batch(source, "training", 5, 10)).toHaveLength(10);
  }
});

describe("rows that are held out", () => {
  const heldOut = {
    ...reader(11),
    read: async (start: number, count: number) => (await reader(11).read(start, count)).map((x) => -1 - x),
  };

  for (const options of [{}, { shuffle: false }, { memoryBudgetBytes: 20 * d_in * 4 }]) {
    it(`are those of evaluation, every one before any twice, and of no training: ${JSON.stringify(options)}`, async () => {
      const source = new StoredSource(reader(97), { seed: 1, held_out: heldOut, ...options });
      const evaluated = new Float32Array(11 * d_in);
      await source.batch("evaluation", 0, evaluated);
      const all = await heldOut.read(0, 11);
      const firsts = (rows: Float32Array) => [...rows].filter((_, i) => i % d_in === 0).sort((a, b) => a - b);
      expect(firsts(evaluated)).toEqual(firsts(all));
      const trained = new Float32Array(97 * d_in);
      await source.batch("training", 0, trained);
      expect(firsts(trained)).toEqual(firsts(await reader(97).read(0, 97)));
    });
  }

  it("have the width of the others", () => {
    const wider = { ...heldOut, d_in: d_in + 1 };
    expect(() => new StoredSource(reader(5), { seed: 1, held_out: wider })).toThrow(RangeError);
  });
});
