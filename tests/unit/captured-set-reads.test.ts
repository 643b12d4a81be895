import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { setFolder } from "../../server/activations/delete.ts";
import { openStoredRows } from "../../server/activations/rows.ts";
import { type ActivationSet, openActivationSet } from "../../server/artifacts/activation-set.ts";
import { captureMask } from "../../server/artifacts/captured-manifest.ts";
import { length, writeCapturedSet } from "../reference/captured-set.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "facet-captured-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function opened<T>(work: (set: ActivationSet) => Promise<T>): Promise<T> {
  const set = await openActivationSet(folder);
  try {
    return await work(set);
  } finally {
    await set.close();
  }
}

/** Places of text among some. */
function textPlaces(mask: number[], from: number, to: number): number[] {
  return mask.slice(from, to).flatMap((kind, at) => (kind === captureMask.text ? [from + at] : []));
}

const rowsOf = (places: number[]) =>
  Float32Array.from(
    places.flatMap((place) => [
      Math.floor(place / length) + (place % length) / 100,
      -Math.floor(place / length),
    ]),
  );

describe("rows of a captured set", () => {
  it("are read from more files than are held open, for training and evaluation at once", async () => {
    const [n_sequences, held] = [90, 45];
    const mask = Array.from({ length: n_sequences * length }, (_, place) => (place % 5 === 0 ? 1 : 0));
    await writeCapturedSet(folder, { n_sequences, held_out_sequences: held, mask });
    const apart = (n_sequences - held) * length;
    const [training, heldOut] = [textPlaces(mask, 0, apart), textPlaces(mask, apart, mask.length)];
    await opened(async (set) => {
      for (let round = 0; round < 5; round++) {
        const [trained, evaluated] = await Promise.all([
          set.read(0, training.length),
          set.held_out!.read(0, heldOut.length),
        ]);
        expect(trained).toEqual(rowsOf(training));
        expect(evaluated).toEqual(rowsOf(heldOut));
      }
    });
  });

  it("are those that the mask says, from any row on, and know their text", async () => {
    const n_sequences = 40;
    // Sequences without any text, whole ones, and every kind of token.
    const mask = Array.from({ length: n_sequences * length }, (_, place) => {
      const sequence = Math.floor(place / length);
      if (sequence % 7 === 3) return captureMask.padding;
      return sequence % 7 === 4 ? 0 : ((place * place + sequence) % 9) % 5;
    });
    await writeCapturedSet(folder, { n_sequences, held_out_sequences: 5, mask });
    const apart = (n_sequences - 5) * length;
    const [training, heldOut] = [textPlaces(mask, 0, apart), textPlaces(mask, apart, mask.length)];
    await opened(async (set) => {
      expect([set.n_rows, set.held_out!.n_rows]).toEqual([training.length, heldOut.length]);
      for (let start = 0; start < training.length; start += 3) {
        for (const count of [0, 1, 2, 11, training.length - start]) {
          if (start + count > training.length) continue;
          expect(await set.read(start, count)).toEqual(rowsOf(training.slice(start, start + count)));
        }
      }
      for (const [row, place] of training.entries()) {
        const [sequence, position] = [Math.floor(place / length), place % length];
        expect(await set.trace(row)).toEqual({
          sequence,
          position,
          token_id: 1000 + place,
          document: 7 + sequence,
          offset: 10 * sequence + position,
        });
      }
      expect((await set.held_out!.trace(0)).token_id).toBe(1000 + heldOut[0]!);
      await set.verify(new AbortController().signal);
    });
  });
});

describe("captured sets side by side", () => {
  const mask = [1, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 1, 0, 0, 3, 0, 0];
  const all = { n_sequences: 3, held_out_sequences: 1, mask };
  const joined = async () => {
    const stored = await openStoredRows(folder, ["a", "b"]);
    const shape = [stored.rows.n_rows, stored.rows.d_in, stored.held_out?.n_rows];
    await stored.close();
    return shape;
  };

  it("are joined where they keep the rows of the same tokens", async () => {
    await writeCapturedSet(setFolder(folder, "a"), all);
    await writeCapturedSet(setFolder(folder, "b"), all);
    expect(await joined()).toEqual([9, 4, 4]);
  });

  it.each([
    // As many rows, so that nothing but their tokens tells them apart.
    [
      "other tokens were left out of one",
      { mask: mask.map((kind, at) => [kind, 0, 3][at === 1 ? 2 : at === 5 ? 1 : 0]!) },
    ],
    ["they are of different text", { tokens_hash: "1" }],
  ])("are refused where %s", async (_, other) => {
    await writeCapturedSet(setFolder(folder, "a"), all);
    await writeCapturedSet(setFolder(folder, "b"), { ...all, ...other });
    await expect(joined()).rejects.toThrow(/rows of different tokens/);
  });
});
