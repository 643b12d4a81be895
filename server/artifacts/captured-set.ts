import path from "node:path";
import type { RowReader } from "../../gpu/data/shuffle.ts";
import { openRegularFile } from "../formats/regular-file.ts";
import { ActivationSetError, toFloat32 } from "./activation-tensor.ts";
import { type CapturedManifest, captureMask } from "./captured-manifest.ts";
import type { FileSource } from "./file-source.ts";

/** Files of rows that are held open at once. */
const mostOpen = 32;
/** Rows that are read at once, in bytes. */
const pieceBytes = 8 * 2 ** 20;
/** Bytes of the mask that are read at once where it is counted. */
const maskPieceBytes = 4 * 2 ** 20;

/** A captured set open for reading. */
export interface OpenCapturedSet {
  /** Rows to train on, and those of the held-out sequences; null where there are none. */
  training: RowReader;
  held_out: RowReader | null;
  close(): Promise<void>;
}

/** Opens a set; every file's size is checked, and the mask read once. Throws `ActivationSetError`. */
export async function openCapturedSet(folder: string, manifest: CapturedManifest): Promise<OpenCapturedSet> {
  const files = new CapturedFiles(folder, manifest);
  try {
    await files.check();
    const counts = await files.textCounts();
    const { n_sequences, held_out_sequences, n_tokens, held_out_tokens } = manifest;
    const trained = n_sequences - held_out_sequences;
    const training = new MaskedRows(files, counts, 0, trained);
    const held_out = new MaskedRows(files, counts, trained, n_sequences);
    if (training.n_rows !== n_tokens || held_out.n_rows !== held_out_tokens) {
      throw damaged(folder, "its mask does not match its number of rows");
    }
    return { training, held_out: held_out_tokens > 0 ? held_out : null, close: () => files.close() };
  } catch (error) {
    await files.close();
    throw error;
  }
}

function damaged(folder: string, why: string): ActivationSetError {
  return new ActivationSetError(`${folder} is damaged: ${why}. Delete the set and capture it again.`);
}

class CapturedFiles {
  readonly manifest: CapturedManifest;
  readonly rowBytes: number;
  readonly #folder: string;
  /** Open files of rows, the one used last at the end. */
  readonly #shards = new Map<number, Promise<FileSource>>();
  #mask: FileSource | null = null;

  constructor(folder: string, manifest: CapturedManifest) {
    this.#folder = folder;
    this.manifest = manifest;
    this.rowBytes = manifest.d_in * (manifest.dtype === "float16" ? 2 : 4);
  }

  async check(): Promise<void> {
    const { n_sequences, length, held_out_sequences, shards, mask } = this.manifest;
    let next = 0;
    for (const shard of shards) {
      const bytes = shard.n_sequences * length * this.rowBytes;
      if (shard.first_sequence !== next || shard.bytes !== bytes) {
        throw damaged(this.#folder, "its files of rows do not follow one another");
      }
      next += shard.n_sequences;
      const source = await this.#open(shard);
      await source.close();
    }
    if (next !== n_sequences || held_out_sequences > n_sequences || mask.bytes !== n_sequences * length) {
      throw damaged(this.#folder, "its files do not match its number of sequences");
    }
    this.#mask = await this.#open(mask);
  }

  /** Tokens of each sequence that are text. */
  async textCounts(): Promise<Uint32Array> {
    const { n_sequences, length } = this.manifest;
    const counts = new Uint32Array(n_sequences);
    const together = Math.max(1, Math.floor(maskPieceBytes / length));
    for (let first = 0; first < n_sequences; first += together) {
      const mask = await this.mask(first, Math.min(together, n_sequences - first));
      for (const [at, kind] of mask.entries()) {
        if (kind === captureMask.text) counts[first + Math.floor(at / length)]!++;
      }
    }
    return counts;
  }

  mask(first: number, count: number): Promise<Uint8Array> {
    const { length } = this.manifest;
    return this.#mask!.read(first * length, count * length);
  }

  /** Rows of sequences [first, first + count), all of one file, f32 [count · length, d_in]. */
  async rows(first: number, count: number): Promise<Float32Array<ArrayBuffer>> {
    const { length, dtype, shards } = this.manifest;
    const index = this.#shardOf(first);
    const source = await this.#shard(index);
    const bytes = length * this.rowBytes;
    const read = await source.read((first - shards[index]!.first_sequence) * bytes, count * bytes);
    return toFloat32(dtype === "float16" ? "F16" : "F32", read);
  }

  /** The sequence after the last of the file that holds one. */
  endOfFile(sequence: number): number {
    const shard = this.manifest.shards[this.#shardOf(sequence)]!;
    return shard.first_sequence + shard.n_sequences;
  }

  async close(): Promise<void> {
    await this.#mask?.close();
    this.#mask = null;
    for (const source of this.#shards.values()) await (await source).close();
    this.#shards.clear();
  }

  #shardOf(sequence: number): number {
    const { shards } = this.manifest;
    let low = 0;
    let high = shards.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (shards[middle]!.first_sequence <= sequence) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  async #shard(index: number): Promise<FileSource> {
    const known = this.#shards.get(index);
    const source = known ?? this.#open(this.manifest.shards[index]!);
    this.#shards.delete(index);
    this.#shards.set(index, source);
    if (known === undefined && this.#shards.size > mostOpen) {
      const [oldest, old] = this.#shards.entries().next().value!;
      this.#shards.delete(oldest);
      await (await old).close();
    }
    return source;
  }

  async #open({ file, bytes }: { file: string; bytes: number }): Promise<FileSource> {
    const location = path.join(this.#folder, file);
    const source = await openRegularFile(location).catch((error: unknown) => {
      throw new ActivationSetError(
        `${location} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
        error,
      );
    });
    if (source.size === bytes) return source;
    await source.close();
    throw damaged(this.#folder, `${file} has ${source.size} bytes, but was written with ${bytes}`);
  }
}

/** The rows of text of some sequences. */
class MaskedRows implements RowReader {
  readonly n_rows: number;
  readonly d_in: number;
  readonly #files: CapturedFiles;
  readonly #first: number;
  /** Rows of the sequences before each, and of all. */
  readonly #before: Float64Array;
  /** Reads are one after another, since they share the open files. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(files: CapturedFiles, counts: Uint32Array, first: number, end: number) {
    this.#files = files;
    this.#first = first;
    this.#before = new Float64Array(end - first + 1);
    for (let at = first; at < end; at++) {
      this.#before[at - first + 1] = this.#before[at - first]! + counts[at]!;
    }
    this.n_rows = this.#before.at(-1)!;
    this.d_in = files.manifest.d_in;
  }

  read(start: number, count: number): Promise<Float32Array<ArrayBuffer>> {
    if (start < 0 || count < 0 || start + count > this.n_rows) {
      throw new RangeError(`Rows ${start} to ${start + count} are not all among the set's ${this.n_rows}.`);
    }
    const read = this.#turn.then(() => this.#read(start, count));
    this.#turn = read.catch(() => undefined);
    return read;
  }

  async #read(start: number, count: number): Promise<Float32Array<ArrayBuffer>> {
    const { length } = this.#files.manifest;
    const out = new Float32Array(count * this.d_in);
    const together = Math.max(1, Math.floor(pieceBytes / (length * this.#files.rowBytes)));
    let done = 0;
    while (done < count) {
      const at = this.#sequenceOf(start + done);
      const first = this.#first + at;
      const last = this.#first + this.#sequenceOf(start + count - 1);
      const end = Math.min(last + 1, first + together, this.#files.endOfFile(first));
      const [rows, mask] = await Promise.all([
        this.#files.rows(first, end - first),
        this.#files.mask(first, end - first),
      ]);
      let skip = start + done - this.#before[at]!;
      for (let token = 0; token < mask.length && done < count; token++) {
        if (mask[token] !== captureMask.text) continue;
        if (skip-- > 0) continue;
        out.set(rows.subarray(token * this.d_in, (token + 1) * this.d_in), done * this.d_in);
        done++;
      }
    }
    return out;
  }

  /** The sequence that holds a row, counted from the first. */
  #sequenceOf(row: number): number {
    let low = 0;
    let high = this.#before.length - 2;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#before[middle]! <= row) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
