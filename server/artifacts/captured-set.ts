import path from "node:path";
import type { RowReader } from "../../gpu/data/shuffle.ts";
import { openRegularFile } from "../formats/regular-file.ts";
import { ActivationSetError, toFloat32 } from "./activation-tensor.ts";
import { folderHash } from "./atomic-folder.ts";
import { type CapturedManifest, captureMask, type SpanWords, spanWords } from "./captured-manifest.ts";
import { type FileSource, hashSource } from "./file-source.ts";

/** Files of rows that are held open at once. */
const mostOpen = 32;
/** Rows that are read at once, in bytes. */
const pieceBytes = 8 * 2 ** 20;
/** Bytes of the mask that are read at once where it is counted. */
const maskPieceBytes = 4 * 2 ** 20;

/** Where a row's text is. */
export interface RowOrigin {
  sequence: number;
  /** Token of the sequence. */
  position: number;
  token_id: number;
  /** Number of the document in the dataset, and the token of it that this is. */
  document: number;
  offset: number;
}

/** Rows of a captured set that can be followed to their text. */
export interface TracedRows extends RowReader {
  /** @throws ActivationSetError where the set's files do not say. */
  trace(row: number): Promise<RowOrigin>;
}

/** A captured set open for reading. */
export interface OpenCapturedSet {
  /** Rows to train on, and those of the held-out sequences; null where there are none. */
  training: TracedRows;
  held_out: TracedRows | null;
  /** Compares every file with its hash. @throws ActivationSetError; the reason of `signal` */
  verify(signal: AbortSignal, onShare?: (share: number) => void): Promise<void>;
  close(): Promise<void>;
}

/** Opens a set; every file's size is checked, and the mask read once. Throws `ActivationSetError`. */
export async function openCapturedSet(folder: string, manifest: CapturedManifest): Promise<OpenCapturedSet> {
  const files = new CapturedFiles(folder, manifest);
  try {
    await files.check();
    const text = await files.text();
    const { n_sequences, held_out_sequences, n_tokens, held_out_tokens } = manifest;
    const trained = n_sequences - held_out_sequences;
    const training = new MaskedRows(files, text, 0, trained);
    const held_out = new MaskedRows(files, text, trained, n_sequences);
    if (training.n_rows !== n_tokens || held_out.n_rows !== held_out_tokens) {
      throw damaged(folder, "its mask does not match its number of rows");
    }
    return {
      training,
      held_out: held_out_tokens > 0 ? held_out : null,
      verify: (signal, onShare) => files.verify(signal, onShare),
      close: () => files.close(),
    };
  } catch (error) {
    await files.close();
    throw error;
  }
}

function damaged(folder: string, why: string): ActivationSetError {
  return new ActivationSetError(`${folder} is damaged: ${why}. Delete the set and capture it again.`);
}

type Side = "mask" | "ids" | "documents";

function word(bytes: Uint8Array, index: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(4 * index, true);
}

class CapturedFiles {
  readonly manifest: CapturedManifest;
  readonly rowBytes: number;
  readonly #folder: string;
  /** Open files of rows, the one used last at the end. */
  readonly #shards = new Map<number, Promise<FileSource>>();
  readonly #sides = new Map<Side, FileSource>();

  constructor(folder: string, manifest: CapturedManifest) {
    this.#folder = folder;
    this.manifest = manifest;
    this.rowBytes = manifest.d_in * (manifest.dtype === "float16" ? 2 : 4);
  }

  async check(): Promise<void> {
    const { n_sequences, length, held_out_sequences, shards, mask, ids, documents } = this.manifest;
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
    const tokens = n_sequences * length;
    const sides =
      mask.bytes === tokens && ids.bytes === 4 * tokens && documents.bytes % (4 * spanWords) === 0;
    if (next !== n_sequences || held_out_sequences > n_sequences || !sides) {
      throw damaged(this.#folder, "its files do not match its number of sequences");
    }
    for (const side of ["mask", "ids", "documents"] as const) {
      this.#sides.set(side, await this.#open(this.manifest[side]));
    }
  }

  /** Which tokens are text. */
  async text(): Promise<TextTokens> {
    const { n_sequences, length } = this.manifest;
    const text = new TextTokens(n_sequences, length);
    const together = Math.max(1, Math.floor(maskPieceBytes / length));
    for (let first = 0; first < n_sequences; first += together) {
      const count = Math.min(together, n_sequences - first);
      text.add(first, await this.#side("mask").read(first * length, count * length));
    }
    text.end();
    return text;
  }

  /** Rows of tokens [first, first + count) of the set, all of one file, f32 [count, d_in]. */
  async rows(first: number, count: number): Promise<Float32Array<ArrayBuffer>> {
    const { length, dtype, shards } = this.manifest;
    const index = this.#shardOf(Math.floor(first / length));
    const source = await this.#shard(index);
    const offset = (first - shards[index]!.first_sequence * length) * this.rowBytes;
    return toFloat32(dtype === "float16" ? "F16" : "F32", await source.read(offset, count * this.rowBytes));
  }

  async origin(token: number): Promise<RowOrigin> {
    const { length } = this.manifest;
    const sequence = Math.floor(token / length);
    const position = token % length;
    const token_id = word(await this.#side("ids").read(4 * token, 4), 0);
    const { document, offset } = await this.#span(sequence, position);
    return { sequence, position, token_id, document, offset };
  }

  /** The span that a token lies in. Spans are sorted by sequence and position. */
  async #span(sequence: number, position: number): Promise<{ document: number; offset: number }> {
    const source = this.#side("documents");
    const spanBytes = 4 * spanWords;
    let low = 0;
    let high = source.size / spanBytes - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const bytes = await source.read(middle * spanBytes, spanBytes);
      const [at, document, first, last, offset] = Array.from({ length: spanWords }, (_, i) =>
        word(bytes, i),
      ) as SpanWords;
      if (at < sequence || (at === sequence && last < position)) low = middle + 1;
      else if (at > sequence || first > position) high = middle - 1;
      else return { document, offset: offset + position - first };
    }
    throw damaged(this.#folder, `token ${position} of sequence ${sequence} is of no document`);
  }

  async verify(signal: AbortSignal, onShare: (share: number) => void = () => undefined): Promise<void> {
    const { shards, mask, ids, documents, sha256 } = this.manifest;
    const all = [...shards, mask, ids, documents];
    if (folderHash(all.map(({ file: name, ...rest }) => ({ name, ...rest }))) !== sha256) {
      throw damaged(this.#folder, "the hashes in its manifest do not go together");
    }
    const total = all.reduce((sum, { bytes }) => sum + bytes, 0);
    let done = 0;
    for (const stored of all) {
      const source = await this.#open(stored);
      const hash = await hashSource(source, maskPieceBytes, signal).finally(() => source.close());
      if (hash !== stored.sha256) throw damaged(this.#folder, `the hash of ${stored.file} is another`);
      done += stored.bytes;
      onShare(done / total);
    }
  }

  /** The sequence after the last of the file that holds one. */
  endOfFile(sequence: number): number {
    const shard = this.manifest.shards[this.#shardOf(sequence)]!;
    return shard.first_sequence + shard.n_sequences;
  }

  async close(): Promise<void> {
    for (const source of this.#sides.values()) await source.close();
    this.#sides.clear();
    for (const source of this.#shards.values()) await (await source).close();
    this.#shards.clear();
  }

  #side(side: Side): FileSource {
    const source = this.#sides.get(side);
    if (source === undefined) throw new Error(`The set ${this.#folder} is closed.`);
    return source;
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

/** Which tokens of a set are text: a bit each, and how many there are before each sequence. */
class TextTokens {
  readonly #length: number;
  readonly #bits: Uint8Array;
  /** Of the sequences before each, and of all. */
  readonly #before: Float64Array;

  constructor(n_sequences: number, length: number) {
    this.#length = length;
    this.#bits = new Uint8Array(Math.ceil((n_sequences * length) / 8));
    this.#before = new Float64Array(n_sequences + 1);
  }

  /** Masks of whole sequences. */
  add(firstSequence: number, mask: Uint8Array): void {
    const first = firstSequence * this.#length;
    for (let at = 0; at < mask.length; at++) {
      if (mask[at] !== captureMask.text) continue;
      const token = first + at;
      this.#bits[Math.floor(token / 8)]! |= 1 << (token % 8);
      this.#before[Math.floor(token / this.#length) + 1]!++;
    }
  }

  end(): void {
    for (let at = 1; at < this.#before.length; at++) this.#before[at]! += this.#before[at - 1]!;
  }

  before(sequence: number): number {
    return this.#before[sequence]!;
  }

  is(token: number): boolean {
    return (this.#bits[Math.floor(token / 8)]! & (1 << (token % 8))) !== 0;
  }

  /** The token that is text and has so many before it. */
  token(rank: number): number {
    let low = 0;
    let high = this.#before.length - 2;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#before[middle]! <= rank) low = middle;
      else high = middle - 1;
    }
    let left = rank - this.#before[low]!;
    for (let token = low * this.#length; ; token++) if (this.is(token) && left-- === 0) return token;
  }
}

/** The rows of text of some sequences. */
class MaskedRows implements TracedRows {
  readonly n_rows: number;
  readonly d_in: number;
  readonly #files: CapturedFiles;
  readonly #text: TextTokens;
  /** Rows of text before the first sequence. */
  readonly #skipped: number;
  /** Reads are one after another, since they share the open files. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(files: CapturedFiles, text: TextTokens, first: number, end: number) {
    this.#files = files;
    this.#text = text;
    this.#skipped = text.before(first);
    this.n_rows = text.before(end) - this.#skipped;
    this.d_in = files.manifest.d_in;
  }

  read(start: number, count: number): Promise<Float32Array<ArrayBuffer>> {
    if (start < 0 || count < 0 || start + count > this.n_rows) {
      throw new RangeError(`Rows ${start} to ${start + count} are not all among the set's ${this.n_rows}.`);
    }
    return this.#inTurn(() => this.#read(start, count));
  }

  trace(row: number): Promise<RowOrigin> {
    if (!Number.isInteger(row) || row < 0 || row >= this.n_rows) {
      throw new RangeError(`Row ${row} is not among the set's ${this.n_rows}.`);
    }
    return this.#inTurn(() => this.#files.origin(this.#text.token(this.#skipped + row)));
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(task);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /** In pieces of one file each, from their first row of text to their last, of which the others are left out. */
  async #read(start: number, count: number): Promise<Float32Array<ArrayBuffer>> {
    const out = new Float32Array(count * this.d_in);
    if (count === 0) return out;
    const { length } = this.#files.manifest;
    const most = Math.max(1, Math.floor(pieceBytes / this.#files.rowBytes));
    const last = this.#text.token(this.#skipped + start + count - 1);
    let token = this.#text.token(this.#skipped + start);
    for (let done = 0; done < count; ) {
      while (!this.#text.is(token)) token++;
      const file = this.#files.endOfFile(Math.floor(token / length)) * length;
      const end = Math.min(last + 1, token + most, file);
      const rows = await this.#files.rows(token, end - token);
      for (let at = token; at < end; at++) {
        if (!this.#text.is(at)) continue;
        const from = (at - token) * this.d_in;
        out.set(rows.subarray(from, from + this.d_in), done++ * this.d_in);
      }
      token = end;
    }
    return out;
  }
}
