import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { pcg4d } from "../../gpu/data/random.ts";
import { openActivationSet } from "../../server/artifacts/activation-set.ts";

const [n_sequences, length, d_in, held] = [9, 7, 3, 2];
const tokens = n_sequences * length;
/** Mask of every token: mostly text, and each of the other kinds. A sequence without any text is among them. */
const mask = Uint8Array.from({ length: tokens }, (_, token) => {
  if (Math.floor(token / length) === 3) return 2;
  const words = Uint32Array.of(0, 0, 0, 0);
  pcg4d(words, token, 1, 2, 3);
  return [0, 0, 0, 1, 2, 3, 4][words[0]! % 7]!;
});
/** Value of a column of a token's row: a whole number that no other has. */
const value = (token: number, column: number) => token * d_in + column;

let folder: string;
beforeEach(async () => {
  folder = path.join(await mkdtemp(path.join(tmpdir(), "facet-captured-")), "set");
  await mkdir(folder);
  await writeSet();
});
afterEach(() => rm(path.dirname(folder), { recursive: true, force: true }));

const sha256 = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest("hex");
const text = [...mask.keys()].filter((token) => mask[token] === 0);
const apart = (n_sequences - held) * length;
const training = text.filter((token) => token < apart);
const heldOut = text.filter((token) => token >= apart);

/** Documents: number 5 fills the odd sequences from position 1; 2 and 3 share the even ones. */
function spansOf(sequence: number): number[][] {
  if (sequence % 2 === 1) return [[sequence, 5, 1, length - 1, 10 * sequence]];
  return [
    [sequence, 2, 0, 2, 100],
    [sequence, 3, 3, length - 1, 0],
  ];
}

/** A set in files of 4, 4 and 1 sequences, written by hand as its format says. */
async function writeSet(): Promise<void> {
  const files: { file: string; bytes: number; sha256: string }[] = [];
  const write = async (file: string, bytes: Uint8Array) => {
    await writeFile(path.join(folder, file), bytes);
    files.push({ file, bytes: bytes.length, sha256: sha256(bytes) });
    return files.at(-1)!;
  };
  const shards = [];
  for (const [shard, first_sequence] of [0, 4, 8].entries()) {
    const count = Math.min(4, n_sequences - first_sequence);
    const rows = Float32Array.from({ length: count * length * d_in }, (_, i) => {
      return value(first_sequence * length, 0) + i;
    });
    const stored = await write(`rows-0000${shard}.bin`, new Uint8Array(rows.buffer));
    shards.push({ ...stored, first_sequence, n_sequences: count });
  }
  const words = (numbers: number[]) => new Uint8Array(Uint32Array.from(numbers).buffer);
  const sides = {
    mask: await write("mask.bin", mask),
    ids: await write("ids.bin", words(Array.from({ length: tokens }, (_, token) => 1_000 + token))),
    documents: await write(
      "documents.bin",
      words(Array.from({ length: n_sequences }, (_, sequence) => spansOf(sequence)).flat(2)),
    ),
  };
  const lines = files.map((one) => `${one.sha256}  ${one.file}\n`);
  const kinds = (kind: number) => mask.filter((one) => one === kind).length;
  const manifest = {
    format_version: 2,
    ...{ d_in, dtype: "float32", n_sequences, length, held_out_sequences: held },
    n_tokens: training.length,
    held_out_tokens: heldOut.length,
    mask_counts: {
      text: kinds(0),
      special: kinds(1),
      padding: kinds(2),
      excluded: kinds(3),
      outlier: kinds(4),
    },
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    sha256: sha256(lines.toSorted((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1)).join("")),
    ...{ hook_name: "h", model_name: "m", dataset_name: "d", dataset_sha256: "", model_sha256: "" },
    ...{ tokens_hash: "", precision: "f32", excluded_token_ids: [1] },
    ...{ outlier_norm: 10, outlier_hooks: ["h"], outlier_threshold: 1 },
    ...{ mean: [0, 0, 0], mean_norm: 0, norm_of_mean: 0 },
    shards,
    ...sides,
  };
  await writeFile(path.join(folder, "manifest.json"), JSON.stringify(manifest));
}

const rowsOf = (chosen: number[]) =>
  Float32Array.from(chosen.flatMap((token) => [0, 1, 2].map((column) => value(token, column))));

describe("a captured set", () => {
  it("gives exactly its training rows and its held-out rows, in whatever pieces", async () => {
    const set = await openActivationSet(folder);
    expect([set.n_rows, set.held_out?.n_rows]).toEqual([training.length, heldOut.length]);
    for (let start = 0; start <= training.length; start++) {
      for (const count of [0, 1, 2, 9, training.length - start].filter((n) => start + n <= training.length)) {
        expect(await set.read(start, count)).toEqual(rowsOf(training.slice(start, start + count)));
      }
    }
    expect(await set.held_out!.read(0, heldOut.length)).toEqual(rowsOf(heldOut));
    expect(await set.held_out!.read(heldOut.length - 1, 1)).toEqual(rowsOf(heldOut.slice(-1)));
    expect(() => set.read(training.length, 1)).toThrow(RangeError);
    await set.close();
  });

  it("follows every row to its token, its document and the place in that", async () => {
    const set = await openActivationSet(folder);
    const origins = [
      ...(await Promise.all(training.map((_, row) => set.trace(row).catch((error: Error) => error.message)))),
      ...(await Promise.all(
        heldOut.map((_, row) => set.held_out!.trace(row).catch((error: Error) => error.message)),
      )),
    ];
    for (const [index, token] of [...training, ...heldOut].entries()) {
      const [sequence, position] = [Math.floor(token / length), token % length];
      const span = spansOf(sequence).find(([, , first, last]) => first! <= position && position <= last!);
      if (span === undefined) {
        // The first token of an odd sequence, which this set wrongly calls text.
        expect(origins[index]).toMatch(/is of no document/);
        continue;
      }
      expect(origins[index]).toEqual({
        sequence,
        position,
        token_id: 1_000 + token,
        document: span[1],
        offset: span[4]! + position - span[2]!,
      });
    }
    expect(() => set.trace(training.length)).toThrow(RangeError);
    await set.close();
  });

  it("is verified by its hashes, and says which file is damaged", async () => {
    const set = await openActivationSet(folder);
    const shares: number[] = [];
    const { signal } = new AbortController();
    await set.verify(signal, (share) => shares.push(share));
    expect(shares).toHaveLength(6);
    expect(shares.at(-1)).toBe(1);
    await expect(set.verify(AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
    for (const name of ["rows-00001.bin", "mask.bin", "ids.bin", "documents.bin"]) {
      const whole = await readFile(path.join(folder, name));
      const damaged = Buffer.from(whole);
      damaged[5]! ^= 8;
      await writeFile(path.join(folder, name), damaged);
      await expect(set.verify(signal)).rejects.toThrow(`the hash of ${name} is another`);
      await writeFile(path.join(folder, name), whole);
    }
    await set.close();
  });

  it("is refused where its files are of other sizes, or its mask of other numbers", async () => {
    await writeFile(path.join(folder, "ids.bin"), new Uint8Array(4 * tokens - 4));
    await expect(openActivationSet(folder)).rejects.toThrow(/damaged: ids.bin has/);
    await writeSet();
    const other = Uint8Array.from(mask);
    other[training[4]!] = 4;
    await writeFile(path.join(folder, "mask.bin"), other);
    await expect(openActivationSet(folder)).rejects.toThrow(/mask does not match/);
  });
});
