import path from "node:path";
import { type TokenReader, tokenKind } from "../../gpu/data/tokens.ts";
import { type FileSource, hashSource } from "../artifacts/file-source.ts";
import { openRegularFile } from "../formats/regular-file.ts";
import { readTokenSetManifest, spanBytes, spanIndexBytes, type TokenSetManifest } from "./manifest.ts";
import type { DocumentSpan } from "./packer.ts";
import { asTokenSetError, TokenSetError } from "./tokenizer-error.ts";

/** Packed sequences of tokens in a folder, open for reading. */
export interface TokenSet extends TokenReader {
  readonly manifest: TokenSetManifest;
  /** Which documents a sequence holds, in order. What lies between the spans is special or padding. */
  documentsOf(sequence: number): Promise<DocumentSpan[]>;
  /** Compares every file with its hash. Throws `TokenSetError`, and the reason of `signal`. */
  verify(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

type StoredFile = TokenSetManifest["spans"];

interface OpenedFile {
  location: string;
  stored: StoredFile;
  source: FileSource;
}

interface OpenedShard {
  first: number;
  end: number;
  ids: OpenedFile;
  kinds: OpenedFile;
}

/** Opens a folder that `tokenizeDataset` made; the size of every file is checked. Throws `TokenSetError`. */
export async function openTokenSet(folder: string): Promise<TokenSet> {
  const manifest = await readTokenSetManifest(folder);
  const opened: OpenedFile[] = [];
  const close = async () => {
    for (const { source } of opened) await source.close();
  };
  const open = async (stored: StoredFile): Promise<OpenedFile> => {
    const location = path.join(folder, stored.file);
    const source = await openRegularFile(location).catch((error: unknown) => {
      throw asTokenSetError(location, error);
    });
    const file = { location, stored, source };
    opened.push(file);
    if (source.size === stored.bytes) return file;
    throw new TokenSetError(
      `${location} has ${source.size} bytes, but was written with ${stored.bytes}. Tokenize the dataset again.`,
    );
  };
  try {
    const shards: OpenedShard[] = [];
    for (const { first_sequence: first, n_sequences, ids, kinds } of manifest.shards) {
      shards.push({ first, end: first + n_sequences, ids: await open(ids), kinds: await open(kinds) });
    }
    const spans = await open(manifest.spans);
    const spanIndex = await open(manifest.span_index);
    checkSizes(folder, manifest, shards);
    const files = new TokenFiles(folder, manifest, shards, spans, spanIndex);
    return {
      manifest,
      n_sequences: manifest.n_sequences,
      length: manifest.options.context_size,
      read: (first, count) => files.ids(first, count),
      kinds: (first, count) => files.kinds(first, count),
      documentsOf: (sequence) => files.documentsOf(sequence),
      verify: (signal) => verify(opened, signal),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function checkSizes(folder: string, manifest: TokenSetManifest, shards: readonly OpenedShard[]): void {
  const { n_sequences, held_out_sequences, options, dtype, span_index } = manifest;
  const idBytes = dtype === "uint16" ? 2 : 4;
  let next = 0;
  for (const { first, end, ids, kinds } of shards) {
    const tokens = (end - first) * options.context_size;
    const fits = first === next && ids.stored.bytes === tokens * idBytes && kinds.stored.bytes === tokens;
    if (!fits) throw damaged(folder, "its shards do not follow one another");
    next = end;
  }
  const index = (n_sequences + 1) * spanIndexBytes;
  if (next !== n_sequences || held_out_sequences > n_sequences || span_index.bytes !== index) {
    throw damaged(folder, "its files do not match its number of sequences");
  }
}

async function verify(files: readonly OpenedFile[], signal: AbortSignal): Promise<void> {
  for (const { location, stored, source } of files) {
    signal.throwIfAborted();
    if ((await hashSource(source)) === stored.sha256) continue;
    throw new TokenSetError(`${location} is damaged: its hash is another. Tokenize the dataset again.`);
  }
}

class TokenFiles {
  readonly #folder: string;
  readonly #manifest: TokenSetManifest;
  readonly #shards: readonly OpenedShard[];
  readonly #spans: OpenedFile;
  readonly #spanIndex: OpenedFile;
  readonly #length: number;

  constructor(
    folder: string,
    manifest: TokenSetManifest,
    shards: readonly OpenedShard[],
    spans: OpenedFile,
    spanIndex: OpenedFile,
  ) {
    this.#folder = folder;
    this.#manifest = manifest;
    this.#shards = shards;
    this.#spans = spans;
    this.#spanIndex = spanIndex;
    this.#length = manifest.options.context_size;
  }

  async ids(first: number, count: number): Promise<Uint32Array<ArrayBuffer>> {
    const { dtype, tokenizer } = this.#manifest;
    const ids = new Uint32Array(count * this.#length);
    let at = 0;
    for (const bytes of await this.#stored("ids", first, count, dtype === "uint16" ? 2 : 4)) {
      const part = dtype === "uint16" ? new Uint16Array(bytes.buffer) : new Uint32Array(bytes.buffer);
      ids.set(part, at);
      at += part.length;
    }
    const wrong = ids.findIndex((id) => id >= tokenizer.vocab_size);
    if (wrong >= 0) {
      const sequence = first + Math.floor(wrong / this.#length);
      throw damaged(this.#folder, `sequence ${sequence} has the id ${ids[wrong]}, beyond the vocabulary`);
    }
    return ids;
  }

  async kinds(first: number, count: number): Promise<Uint8Array<ArrayBuffer>> {
    const kinds = new Uint8Array(count * this.#length);
    let at = 0;
    for (const bytes of await this.#stored("kinds", first, count, 1)) {
      kinds.set(bytes, at);
      at += bytes.length;
    }
    if (kinds.some((kind) => kind > tokenKind.padding)) {
      throw damaged(this.#folder, "a token is of a kind that there is not");
    }
    return kinds;
  }

  async documentsOf(sequence: number): Promise<DocumentSpan[]> {
    this.#checkRange(sequence, 1);
    const ends = Buffer.from(
      await this.#bytes(this.#spanIndex, sequence * spanIndexBytes, 2 * spanIndexBytes),
    );
    const first = Number(ends.readBigUInt64LE(0));
    const end = Number(ends.readBigUInt64LE(spanIndexBytes));
    const total = this.#spans.stored.bytes / spanBytes;
    if (first > end || end > total || end - first > this.#length) {
      throw damaged(this.#folder, `the documents of sequence ${sequence} are not in its files`);
    }
    const bytes = Buffer.from(await this.#bytes(this.#spans, first * spanBytes, (end - first) * spanBytes));
    return Array.from({ length: end - first }, (_, number) => {
      const at = number * spanBytes;
      const span = {
        document: bytes.readUInt32LE(at),
        first: bytes.readUInt32LE(at + 4),
        last: bytes.readUInt32LE(at + 8),
        offset: bytes.readUInt32LE(at + 12),
      };
      const fits = span.first <= span.last && span.last < this.#length;
      if (fits && span.document < this.#manifest.n_documents) return span;
      throw damaged(this.#folder, `the documents of sequence ${sequence} are not in it`);
    });
  }

  /** Bytes of the sequences, shard by shard. */
  async #stored(
    which: "ids" | "kinds",
    first: number,
    count: number,
    tokenBytes: number,
  ): Promise<Uint8Array[]> {
    this.#checkRange(first, count);
    const sequenceBytes = this.#length * tokenBytes;
    const parts: Uint8Array[] = [];
    for (let from = first; from < first + count; ) {
      const shard = this.#shardOf(from);
      const to = Math.min(first + count, shard.end);
      const offset = (from - shard.first) * sequenceBytes;
      parts.push(await this.#bytes(shard[which], offset, (to - from) * sequenceBytes));
      from = to;
    }
    return parts;
  }

  #shardOf(sequence: number): OpenedShard {
    let low = 0;
    let high = this.#shards.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#shards[middle]!.end <= sequence) low = middle + 1;
      else high = middle;
    }
    return this.#shards[low]!;
  }

  #checkRange(first: number, count: number): void {
    const { n_sequences } = this.#manifest;
    if (first >= 0 && count >= 0 && first + count <= n_sequences) return;
    throw new RangeError(`sequences ${first} to ${first + count - 1} of ${n_sequences}`);
  }

  async #bytes({ location, source }: OpenedFile, offset: number, length: number): Promise<Uint8Array> {
    try {
      return await source.read(offset, length);
    } catch (error) {
      throw asTokenSetError(location, error);
    }
  }
}

function damaged(folder: string, why: string): TokenSetError {
  return new TokenSetError(`${folder} is damaged: ${why}. Tokenize the dataset again.`);
}
