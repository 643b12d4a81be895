import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ActivationSet, openActivationSet } from "../../server/artifacts/activation-set.ts";
import { folderHash } from "../../server/artifacts/atomic-folder.ts";
import { type CapturedManifest, captureMask } from "../../server/artifacts/captured-manifest.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "facet-captured-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const d_in = 2;
const length = 6;

/** A file of every sequence; the row at position p of sequence s is (s + p / 100, -s). */
async function writeSet(n_sequences: number, held_out_sequences: number, mask: number[]): Promise<void> {
  const places = Array.from({ length: n_sequences * length }, (_, place) => place);
  const write = async (file: string, bytes: Uint8Array) => {
    await writeFile(path.join(folder, file), bytes);
    return { file, bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
  };
  const words = (numbers: number[]) => new Uint8Array(Uint32Array.from(numbers).buffer);
  const shards: CapturedManifest["shards"] = [];
  for (let sequence = 0; sequence < n_sequences; sequence++) {
    const rows = places.slice(0, length).flatMap((position) => [sequence + position / 100, -sequence]);
    const name = `rows-${String(sequence).padStart(5, "0")}.bin`;
    const written = await write(name, new Uint8Array(Float32Array.from(rows).buffer));
    shards.push({ ...written, first_sequence: sequence, n_sequences: 1 });
  }
  const sides = {
    mask: await write("mask.bin", Uint8Array.from(mask)),
    ids: await write("ids.bin", words(places.map((place) => 1000 + place))),
    documents: await write(
      "documents.bin",
      words(Array.from({ length: n_sequences }, (_, s) => [s, 7 + s, 0, length - 1, 10 * s]).flat()),
    ),
  };
  const files = [...shards, sides.mask, sides.ids, sides.documents];
  const apart = (n_sequences - held_out_sequences) * length;
  const text = (from: number[]) => from.filter((kind) => kind === captureMask.text).length;
  const count = (kind: number) => mask.filter((one) => one === kind).length;
  const manifest: CapturedManifest = {
    format_version: 2,
    d_in,
    dtype: "float32",
    n_sequences,
    length,
    held_out_sequences,
    n_tokens: text(mask.slice(0, apart)),
    held_out_tokens: text(mask.slice(apart)),
    mask_counts: {
      text: count(captureMask.text),
      special: count(captureMask.special),
      padding: count(captureMask.padding),
      excluded: count(captureMask.excluded),
      outlier: count(captureMask.outlier),
    },
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    sha256: folderHash(files.map(({ file, bytes, sha256 }) => ({ name: file, bytes, sha256 }))),
    hook_name: "blocks.0.hook_resid_post",
    model_name: "m",
    dataset_name: "d",
    dataset_sha256: "0",
    model_sha256: "0",
    tokens_hash: "0",
    precision: "f32",
    excluded_token_ids: [],
    outlier_norm: null,
    outlier_hooks: [],
    outlier_threshold: null,
    mean: [0, 0],
    mean_norm: 0,
    norm_of_mean: 0,
    shards,
    ...sides,
  };
  await writeFile(path.join(folder, "manifest.json"), JSON.stringify(manifest));
}

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
    await writeSet(n_sequences, held, mask);
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
    await writeSet(n_sequences, 5, mask);
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
