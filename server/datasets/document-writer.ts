import { createHash, hash } from "node:crypto";
import { AppendedFile } from "../artifacts/appended-file.ts";
import type { FolderWriter, WrittenFile } from "../artifacts/atomic-folder.ts";
import { LengthHistogram } from "./length-histogram.ts";
import { type DatasetManifest, indexEntryBytes, indexFile, shardFile } from "./manifest.ts";
import type { DocumentMeta } from "./raw-document.ts";

const shardBytes = 256 * 2 ** 20;
/** Documents whose hashes are remembered to find them again; about 60 MB. */
const rememberedDocuments = 2 ** 20;

export type DocumentStatistics = Pick<
  DatasetManifest,
  "n_documents" | "n_characters" | "bytes" | "sha256" | "lengths" | "duplicates" | "index" | "shards"
> & { metaColumns: string[] };

/** Writes documents into shards, and what is known of them all; memory does not grow with their number. */
export class DocumentWriter {
  readonly #folder: FolderWriter;
  readonly #index: AppendedFile;
  readonly #shards: DatasetManifest["shards"] = [];
  #shard: AppendedFile;
  #shardFill = 0;
  /** First document of the shard that is being written. */
  #shardStart = 0;
  /** Bytes of all shards. */
  #place = 0;

  readonly #hash = createHash("sha256");
  readonly #lengths = new LengthHistogram();
  readonly #seen = new Set<number>();
  readonly #metaColumns = new Set<string>();
  #documents = 0;
  #characters = 0;
  #bytes = 0;
  #duplicates = 0;

  constructor(folder: FolderWriter) {
    this.#folder = folder;
    this.#index = new AppendedFile(folder, indexFile);
    this.#shard = new AppendedFile(folder, shardFile(0));
  }

  get documents(): number {
    return this.#documents;
  }

  get characters(): number {
    return this.#characters;
  }

  /** @param characters Code points of the text. */
  async add(text: Buffer, characters: number, meta: DocumentMeta | null): Promise<void> {
    const columns = meta === null ? Buffer.alloc(0) : Buffer.from(JSON.stringify(meta));
    const size = text.byteLength + columns.byteLength;
    if (this.#shardFill > 0 && this.#shardFill + size > shardBytes) await this.#nextShard();
    this.#note(text, characters, meta);
    const entry = Buffer.alloc(indexEntryBytes);
    entry.writeBigUInt64LE(BigInt(this.#place), 0);
    entry.writeUInt32LE(text.byteLength, 8);
    entry.writeUInt32LE(columns.byteLength, 12);
    await this.#index.append(entry);
    await this.#shard.append(text);
    if (columns.byteLength > 0) await this.#shard.append(columns);
    this.#place += size;
    this.#shardFill += size;
  }

  #note(text: Buffer, characters: number, meta: DocumentMeta | null): void {
    const digest = hash("sha256", text, "buffer");
    this.#hash.update(digest);
    const short = digest.readUIntLE(0, 6);
    if (this.#documents < rememberedDocuments) {
      if (this.#seen.has(short)) this.#duplicates++;
      else this.#seen.add(short);
    }
    for (const name of Object.keys(meta ?? {})) if (this.#metaColumns.size < 100) this.#metaColumns.add(name);
    this.#lengths.add(characters);
    this.#documents++;
    this.#characters += characters;
    this.#bytes += text.byteLength;
  }

  async end(): Promise<DocumentStatistics> {
    await this.#endShard();
    return {
      n_documents: this.#documents,
      n_characters: this.#characters,
      bytes: this.#bytes,
      sha256: this.#hash.digest("hex"),
      lengths: this.#lengths.summary(),
      duplicates: { count: this.#duplicates, among: Math.min(this.#documents, rememberedDocuments) },
      metaColumns: [...this.#metaColumns],
      index: stored(await this.#index.end()),
      shards: this.#shards,
    };
  }

  async abandon(): Promise<void> {
    await this.#index.abandon();
    await this.#shard.abandon();
  }

  async #nextShard(): Promise<void> {
    await this.#endShard();
    this.#shard = new AppendedFile(this.#folder, shardFile(this.#shards.length));
    this.#shardFill = 0;
    this.#shardStart = this.#documents;
  }

  async #endShard(): Promise<void> {
    const file = stored(await this.#shard.end());
    const n_documents = this.#documents - this.#shardStart;
    this.#shards.push({ ...file, first_document: this.#shardStart, n_documents });
  }
}

function stored({ name, bytes, sha256 }: WrittenFile): DatasetManifest["index"] {
  return { file: name, bytes, sha256 };
}

/** Code points of a text in UTF-8. */
export function charactersOf(text: Uint8Array): number {
  let count = 0;
  for (const byte of text) if ((byte & 0xc0) !== 0x80) count++;
  return count;
}
