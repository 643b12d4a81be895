import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { folderHash } from "../../server/artifacts/atomic-folder.ts";
import { type CapturedManifest, captureMask } from "../../server/artifacts/captured-manifest.ts";

const d_in = 2;
/** Tokens of a sequence of the sets that `writeCapturedSet` writes. */
export const length = 6;

export interface HandMadeSet {
  n_sequences: number;
  held_out_sequences: number;
  /** A byte a token. */
  mask: readonly number[];
  tokens_hash?: string;
}

/** A file of every sequence; the row at position p of sequence s is (s + p / 100, -s). */
export async function writeCapturedSet(
  folder: string,
  { n_sequences, held_out_sequences, mask, tokens_hash = "0" }: HandMadeSet,
): Promise<void> {
  await mkdir(folder, { recursive: true });
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
  const text = (from: readonly number[]) => from.filter((kind) => kind === captureMask.text).length;
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
    tokens_hash,
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
