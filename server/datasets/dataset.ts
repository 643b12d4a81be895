import path from "node:path";
import type { FileSource } from "../artifacts/file-source.ts";
import { InvalidInputError } from "../errors.ts";
import { isJsonObject } from "../formats/json-file.ts";
import { openRegularFile } from "../formats/regular-file.ts";
import { asDatasetError, DatasetError } from "./dataset-error.ts";
import { maxDocumentBytes, pieceBytes } from "./limits.ts";
import { type DatasetManifest, indexEntryBytes, readDatasetManifest } from "./manifest.ts";
import type { DocumentMeta } from "./raw-document.ts";
import { type SearchPage, searchDocuments } from "./search.ts";
import { decodeUtf8 } from "./utf8.ts";

export interface DatasetDocument {
  /** From 0. */
  index: number;
  text: string;
  meta: DocumentMeta | null;
}

/** Documents in a folder, open for reading at any place. */
export interface Dataset {
  readonly manifest: DatasetManifest;
  /** Documents start … start + count − 1, as far as there are. Throws `InvalidInputError` for more than 256 MiB at once. */
  read(start: number, count: number): Promise<DatasetDocument[]>;
  /** All documents from `start` on, together as many as have about `bytes` of text. */
  batches(start: number, bytes: number): AsyncGenerator<DatasetDocument[]>;
  /** Documents from `from` on that hold `text`, whatever its capitals; at most `limit`, and as far as a second or two allow. */
  search(text: string, from: number, limit: number): Promise<SearchPage>;
  close(): Promise<void>;
}

const maxReadBytes = 256 * 2 ** 20;
const maxReadDocuments = 100_000;
/** Documents whose places are read at a time. */
const entriesTogether = 4_096;
/** As `DocumentWriter` may make at most: 32 columns of 1,024 characters, each escaped. */
const maxMetaBytes = 2 ** 20;

interface Place {
  offset: number;
  text: number;
  meta: number;
}

/** Opens a dataset's folder; every file's size is checked. Throws `DatasetError`. */
export async function openDataset(folder: string): Promise<Dataset> {
  const manifest = await readDatasetManifest(folder);
  const sources: FileSource[] = [];
  const close = async () => {
    for (const source of sources) await source.close();
  };
  const open = async ({ file, bytes }: { file: string; bytes: number }) => {
    const location = path.join(folder, file);
    const source = await openRegularFile(location).catch((error: unknown) => {
      throw asDatasetError(location, error);
    });
    sources.push(source);
    if (source.size === bytes) return source;
    throw new DatasetError(
      `${location} has ${source.size} bytes, but was written with ${bytes}. Import the dataset again.`,
    );
  };
  try {
    const index = await open(manifest.index);
    const shards: FileSource[] = [];
    for (const shard of manifest.shards) shards.push(await open(shard));
    const files = new DocumentFiles(folder, manifest, index, shards);
    const batches = (start: number, bytes: number) => files.batches(start, bytes);
    return {
      manifest,
      read: (start, count) => files.read(start, count),
      batches,
      search: (text, from, limit) => searchDocuments({ batches, manifest }, text, from, limit),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

class DocumentFiles {
  readonly #folder: string;
  readonly #manifest: DatasetManifest;
  readonly #index: FileSource;
  readonly #shards: readonly { source: FileSource; start: number; end: number }[];

  constructor(folder: string, manifest: DatasetManifest, index: FileSource, shards: readonly FileSource[]) {
    this.#folder = folder;
    this.#manifest = manifest;
    this.#index = index;
    if (index.size !== manifest.n_documents * indexEntryBytes) {
      throw this.#damaged(`${manifest.index.file} does not match the number of documents`);
    }
    let start = 0;
    this.#shards = shards.map((source) => {
      const shard = { source, start, end: start + source.size };
      start = shard.end;
      return shard;
    });
  }

  async read(start: number, count: number): Promise<DatasetDocument[]> {
    const { n_documents } = this.#manifest;
    const first = Math.min(start, n_documents);
    const end = Math.min(n_documents, start + count);
    if (end <= first) return [];
    if (end - first > maxReadDocuments) throw tooMuch();
    const places = await this.#places(first, end - first);
    if (places.reduce((sum, { text, meta }) => sum + text + meta, 0) > maxReadBytes) throw tooMuch();
    return this.#documents(first, places);
  }

  async *batches(start: number, bytes: number): AsyncGenerator<DatasetDocument[]> {
    const { n_documents } = this.#manifest;
    for (let first = start; first < n_documents; first += entriesTogether) {
      const places = await this.#places(first, Math.min(entriesTogether, n_documents - first));
      for (let from = 0; from < places.length; ) {
        let size = 0;
        let to = from;
        while (to < places.length && size < bytes) size += places[to++]!.text;
        yield await this.#documents(first + from, places.slice(from, to));
        from = to;
      }
    }
  }

  async #places(first: number, count: number): Promise<Place[]> {
    const bytes = Buffer.from(
      await this.#bytes(this.#index, first * indexEntryBytes, count * indexEntryBytes),
    );
    const total = this.#shards.at(-1)?.end ?? 0;
    return Array.from({ length: count }, (_, at) => {
      const entry = at * indexEntryBytes;
      const place = {
        offset: Number(bytes.readBigUInt64LE(entry)),
        text: bytes.readUInt32LE(entry + 8),
        meta: bytes.readUInt32LE(entry + 12),
      };
      const fits = place.offset + place.text + place.meta <= total;
      if (fits && place.text <= maxDocumentBytes && place.meta <= maxMetaBytes) return place;
      throw this.#damaged(`the place of document ${first + at} is not in its files`);
    });
  }

  /** Neighbours that lie together are read together. */
  async #documents(first: number, places: readonly Place[]): Promise<DatasetDocument[]> {
    const documents: DatasetDocument[] = [];
    for (let from = 0; from < places.length; ) {
      const { offset } = places[from]!;
      const shard = this.#shardAt(offset, first + from);
      let size = 0;
      let to = from;
      while (to < places.length && (size < pieceBytes || to === from)) {
        const next = places[to]!;
        if (next.offset !== offset + size || next.offset + next.text + next.meta > shard.end) break;
        size += next.text + next.meta;
        to++;
      }
      if (to === from) throw this.#damaged(`document ${first + from} lies across two files`);
      const bytes = Buffer.from(await this.#bytes(shard.source, offset - shard.start, size));
      for (const [at, { offset: begin, text, meta }] of places.slice(from, to).entries()) {
        const index = first + from + at;
        const own = bytes.subarray(begin - offset, begin - offset + text + meta);
        documents.push({
          index,
          text: this.#textOf(own.subarray(0, text), index),
          meta: this.#metaOf(own.subarray(text), index),
        });
      }
      from = to;
    }
    return documents;
  }

  #shardAt(offset: number, index: number): { source: FileSource; start: number; end: number } {
    let low = 0;
    let high = this.#shards.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#shards[middle]!.end <= offset) low = middle + 1;
      else high = middle;
    }
    const shard = this.#shards[low];
    if (shard === undefined) throw this.#damaged(`document ${index} is in none of its files`);
    return shard;
  }

  #textOf(bytes: Buffer, index: number): string {
    return decodeUtf8(bytes, `${this.#folder}, document ${index}`, 0);
  }

  #metaOf(bytes: Buffer, index: number): DocumentMeta | null {
    if (bytes.byteLength === 0) return null;
    try {
      const meta: unknown = JSON.parse(bytes.toString("utf8"));
      if (isJsonObject(meta) && Object.values(meta).every((value) => !(value instanceof Object))) {
        return meta as DocumentMeta;
      }
    } catch {
      // Told below.
    }
    throw this.#damaged(`the columns of document ${index} are not what was written`);
  }

  async #bytes(source: FileSource, offset: number, length: number): Promise<Uint8Array> {
    try {
      return await source.read(offset, length);
    } catch (error) {
      throw asDatasetError(this.#folder, error);
    }
  }

  #damaged(why: string): DatasetError {
    return new DatasetError(`${this.#folder} is damaged: ${why}. Import the dataset again.`);
  }
}

function tooMuch(): InvalidInputError {
  const message = `At most ${maxReadDocuments} documents of together ${maxReadBytes} bytes are read at once; ask for fewer.`;
  return new InvalidInputError([{ path: "count", message }]);
}
