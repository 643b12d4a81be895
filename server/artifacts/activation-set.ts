import { createHash, type Hash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { type ByteSource, readSafetensorsHeader, SafetensorsError } from "../../gpu/data/safetensors.ts";
import type { RowReader } from "../../gpu/data/shuffle.ts";
import {
  ActivationSetError,
  type ActivationTensor,
  chooseTensor,
  hookNameOf,
  openSafetensors,
  toFloat32,
} from "./activation-tensor.ts";
import { writeFolder } from "./atomic-folder.ts";
import { type CapturedManifest, capturedManifestSchema } from "./captured-manifest.ts";
import { openCapturedSet, type RowOrigin, type TracedRows } from "./captured-set.ts";
import { hashSource } from "./file-source.ts";

/**
 * An activation set: `activations.bin`, rows of numbers without a header, and `manifest.json`.
 * F16 input is kept as f16. BF16 and F32 input are kept as f32, for f16 cannot hold their range.
 */
const importedManifestSchema = z.strictObject({
  format_version: z.literal(1),
  n_tokens: z.number().int().min(1),
  d_in: z.number().int().min(1).max(65_536),
  dtype: z.enum(["float16", "float32"]),
  /** Of activations.bin. */
  bytes: z.number().int().min(1),
  sha256: z.string(),
  source_file_name: z.string(),
  source_sha256: z.string(),
  source_tensor: z.string(),
  source_dtype: z.enum(["F32", "F16", "BF16"]),
  hook_name: z.string().nullable(),
  model_name: z.string().nullable(),
  dataset_name: z.string().nullable(),
  /** Mean row, [d_in]. */
  mean: z.array(z.number()),
  /** Mean of the rows' norms. */
  mean_norm: z.number().min(0),
  norm_of_mean: z.number().min(0),
});
export type ImportedManifest = z.output<typeof importedManifestSchema>;
/** Of a set that was imported, or captured here. */
export type ActivationSetManifest = ImportedManifest | CapturedManifest;
export { ActivationSetError };

const manifestSchema = z.discriminatedUnion("format_version", [
  importedManifestSchema,
  capturedManifestSchema,
]);

const dataFile = "activations.bin";
const manifestFile = "manifest.json";
/** Read and converted at a time. */
const chunkBytes = 4 * 2 ** 20;

export interface ImportOptions {
  /** The safetensors file to read. */
  file: string;
  /** The folder to make. */
  folder: string;
  /** Name shown for the file, if it is not the one on disk (an upload). */
  source_file_name?: string;
  /** Tensor to take. Without it: `activations`, else the only two-dimensional tensor of numbers. */
  tensor?: string;
  /** Without these, what the file's `__metadata__` says under the same names. */
  hook_name?: string;
  model_name?: string;
  dataset_name?: string;
  signal?: AbortSignal;
  onProgress?(progress: { tokens: number; n_tokens: number }): void;
}

/**
 * Imports activations [n_tokens, d_in] from a safetensors file in one streaming pass; memory does not grow with the file.
 * The set appears whole, or not at all: when the signal aborts, when the file is damaged, and when a row holds NaN or
 * infinity. Throws `ActivationSetError`, `StorageError`, or the signal's reason.
 */
export async function importActivationSet(options: ImportOptions): Promise<ImportedManifest> {
  const { signal } = options;
  signal?.throwIfAborted();
  const name = options.source_file_name ?? path.basename(options.file);
  const source = await openSafetensors(options.file, name);
  try {
    const header = await readSafetensorsHeader(source);
    const tensor = chooseTensor(header, options.tensor, name);
    const statistics = newStatistics(tensor.d_in);
    const wholeFile = createHash("sha256");
    const { result } = await writeFolder(
      options.folder,
      async (writer) => {
        const stored = await writer.file(
          dataFile,
          convert(source, tensor, statistics, wholeFile, (tokens) => {
            signal?.throwIfAborted();
            options.onProgress?.({ tokens, n_tokens: tensor.n_tokens });
          }),
        );
        const manifest: ImportedManifest = {
          format_version: 1,
          n_tokens: tensor.n_tokens,
          d_in: tensor.d_in,
          dtype: storedDtype(tensor.dtype),
          bytes: stored.bytes,
          sha256: stored.sha256,
          source_file_name: name,
          source_sha256: wholeFile.digest("hex"),
          source_tensor: tensor.info.name,
          source_dtype: tensor.dtype,
          hook_name: options.hook_name ?? hookNameOf(header.metadata, tensor.info.name) ?? null,
          model_name:
            options.model_name ?? header.metadata.get("model_name") ?? header.metadata.get("model") ?? null,
          dataset_name:
            options.dataset_name ??
            header.metadata.get("dataset_name") ??
            header.metadata.get("dataset") ??
            null,
          ...summarize(statistics),
        };
        await writer.file(manifestFile, [new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`)]);
        return manifest;
      },
      tensor.n_tokens * tensor.d_in * storedBytes[storedDtype(tensor.dtype)],
    );
    return result;
  } catch (error) {
    if (error instanceof SafetensorsError) throw new ActivationSetError(`${name}: ${error.message}`, error);
    throw error;
  } finally {
    await source.close();
  }
}

const storedBytes = { float16: 2, float32: 4 } as const;

function storedDtype(dtype: ActivationTensor["dtype"]): ImportedManifest["dtype"] {
  return dtype === "F16" ? "float16" : "float32";
}

interface Statistics {
  rows: number;
  sum: Float64Array;
  norms: number;
  badRows: number;
  firstBadRow: number;
}

function newStatistics(d_in: number): Statistics {
  return { rows: 0, sum: new Float64Array(d_in), norms: 0, badRows: 0, firstBadRow: -1 };
}

function addRows(statistics: Statistics, values: Float32Array): void {
  const d_in = statistics.sum.length;
  for (let start = 0; start < values.length; start += d_in) {
    let squares = 0;
    for (let column = 0; column < d_in; column++) {
      const value = values[start + column]!;
      squares += value * value;
      statistics.sum[column]! += value;
    }
    // NaN and infinity survive squaring and summing; finite float32 values cannot overflow float64 here.
    if (!Number.isFinite(squares)) {
      if (statistics.badRows === 0) statistics.firstBadRow = statistics.rows;
      statistics.badRows++;
    }
    statistics.norms += Math.sqrt(squares);
    statistics.rows++;
  }
}

function summarize({ rows, sum, norms }: Statistics) {
  const mean = Array.from(sum, (value) => value / rows);
  return {
    mean,
    mean_norm: norms / rows,
    norm_of_mean: Math.sqrt(mean.reduce((squares, value) => squares + value * value, 0)),
  };
}

/**
 * The bytes to store, chunk by chunk, hashing the whole file on the way. Once a row has been bad nothing more is
 * yielded, but the rest is still read to count them. Throws `ActivationSetError` at the end if any was.
 */
async function* convert(
  source: ByteSource,
  tensor: ActivationTensor,
  statistics: Statistics,
  wholeFile: Hash,
  step: (tokens: number) => void,
): AsyncGenerator<Uint8Array> {
  const { info, dtype, d_in, n_tokens } = tensor;
  const end = info.offset + info.bytes;
  await hashOnly(source, 0, info.offset, wholeFile);
  const rowBytes = info.bytes / n_tokens;
  const chunkRows = Math.max(1, Math.floor(chunkBytes / rowBytes));
  for (let row = 0; row < n_tokens; row += chunkRows) {
    step(row);
    const rows = Math.min(chunkRows, n_tokens - row);
    const bytes = await source.read(info.offset + row * rowBytes, rows * rowBytes);
    wholeFile.update(bytes);
    const values = toFloat32(dtype, bytes);
    addRows(statistics, values);
    if (statistics.badRows > 0) continue;
    yield dtype === "F16" ? bytes : new Uint8Array(values.buffer);
  }
  step(n_tokens);
  await hashOnly(source, end, source.size, wholeFile);
  if (statistics.badRows > 0) {
    throw new ActivationSetError(
      `${statistics.badRows} of ${n_tokens} rows of "${info.name}" [${n_tokens}, ${d_in}] hold NaN or infinity, the first is row ${statistics.firstBadRow}. ` +
        "Remove them, or capture the activations again in a wider number format.",
    );
  }
}

/** Hashes bytes of the file that are not stored. */
async function hashOnly(source: ByteSource, from: number, to: number, wholeFile: Hash): Promise<void> {
  for (let offset = from; offset < to; offset += chunkBytes) {
    wholeFile.update(await source.read(offset, Math.min(chunkBytes, to - offset)));
  }
}

/** An activation set open for reading: the rows to train on. Close it. */
export interface ActivationSet extends RowReader {
  readonly manifest: ActivationSetManifest;
  /** Rows that are never trained on; null for a set that keeps none apart. */
  readonly held_out: TracedRows | null;
  /** Where a row to train on comes from; null for a set that was imported, which does not know. */
  trace(row: number): Promise<RowOrigin | null>;
  /**
   * Compares every file with its hash, and tells the share of the bytes that is done. Throws `ActivationSetError`, and the
   * reason of `signal`.
   */
  verify(signal: AbortSignal, onShare?: (share: number) => void): Promise<void>;
  close(): Promise<void>;
}

/** Opens a set and checks that manifest and data belong together in size. Throws `ActivationSetError`. */
export async function openActivationSet(folder: string): Promise<ActivationSet> {
  const manifest = await readManifest(folder);
  if (manifest.format_version === 1) return openImportedSet(folder, manifest);
  const { training, held_out, verify, close } = await openCapturedSet(folder, manifest);
  const { n_rows, d_in } = training;
  return {
    manifest,
    n_rows,
    d_in,
    held_out,
    read: (start, count) => training.read(start, count),
    trace: (row) => training.trace(row),
    verify,
    close,
  };
}

async function openImportedSet(folder: string, manifest: ImportedManifest): Promise<ActivationSet> {
  const { n_tokens, d_in, dtype, bytes } = manifest;
  const rowBytes = d_in * storedBytes[dtype];
  const source = await openSafetensors(path.join(folder, dataFile), `${folder}/${dataFile}`);
  if (source.size !== bytes || bytes !== n_tokens * rowBytes) {
    await source.close();
    throw new ActivationSetError(
      `${folder} is damaged: ${dataFile} has ${source.size} bytes, but ${n_tokens} rows of ${d_in} ${dtype} numbers take ${n_tokens * rowBytes}. Delete the set and import it again.`,
    );
  }
  return {
    manifest,
    n_rows: n_tokens,
    d_in,
    held_out: null,
    async read(start, count) {
      if (start < 0 || count < 0 || start + count > n_tokens) {
        throw new RangeError(`Rows ${start} to ${start + count} are not all among the set's ${n_tokens}.`);
      }
      const read = await source.read(start * rowBytes, count * rowBytes);
      return toFloat32(dtype === "float16" ? "F16" : "F32", read);
    },
    trace: () => Promise.resolve(null),
    async verify(signal, onShare) {
      if ((await hashSource(source, chunkBytes, signal)) === manifest.sha256) return onShare?.(1);
      throw new ActivationSetError(
        `${folder} is damaged: the hash of ${dataFile} is another. Delete the set and import it again.`,
      );
    },
    close: () => source.close(),
  };
}

async function readManifest(folder: string): Promise<ActivationSetManifest> {
  try {
    return manifestSchema.parse(JSON.parse(await readFile(path.join(folder, manifestFile), "utf8")));
  } catch (error) {
    throw new ActivationSetError(
      `${folder} has no usable ${manifestFile}; it is not an activation set, or a damaged one. Import it again.`,
      error,
    );
  }
}
