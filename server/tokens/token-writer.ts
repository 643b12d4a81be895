import { tokenKind } from "../../gpu/data/tokens.ts";
import { AppendedFile } from "../artifacts/appended-file.ts";
import type { FolderWriter, WrittenFile } from "../artifacts/atomic-folder.ts";
import {
  idsFile,
  kindsFile,
  spanBytes,
  spanIndexBytes,
  spanIndexFile,
  spansFile,
  type TokenSetManifest,
} from "./manifest.ts";
import type { PackedSequences } from "./packer.ts";

const shardBytes = 128 * 2 ** 20;

export type WrittenTokens = Pick<
  TokenSetManifest,
  | "n_sequences"
  | "n_text_tokens"
  | "n_special_tokens"
  | "n_padding_tokens"
  | "shards"
  | "spans"
  | "span_index"
>;

/** Writes packed sequences into shards, with their kinds and spans beside them. */
export class TokenWriter {
  readonly #folder: FolderWriter;
  readonly #length: number;
  readonly #dtype: "uint16" | "uint32";
  readonly #perShard: number;
  readonly #spans: AppendedFile;
  readonly #spanIndex: AppendedFile;
  readonly #shards: TokenSetManifest["shards"] = [];
  #ids: AppendedFile;
  #kinds: AppendedFile;
  #shardStart = 0;
  #sequences = 0;
  #spanCount = 0;
  readonly #kindCounts = [0, 0, 0];

  /** @param length Tokens of a sequence. */
  constructor(folder: FolderWriter, length: number, dtype: "uint16" | "uint32", bytes = shardBytes) {
    this.#folder = folder;
    this.#length = length;
    this.#dtype = dtype;
    this.#perShard = Math.max(1, Math.floor(bytes / (length * (dtype === "uint16" ? 2 : 4))));
    this.#spans = new AppendedFile(folder, spansFile);
    this.#spanIndex = new AppendedFile(folder, spanIndexFile);
    this.#ids = new AppendedFile(folder, idsFile(0));
    this.#kinds = new AppendedFile(folder, kindsFile(0));
  }

  async add({ count, ids, kinds, spans }: PackedSequences): Promise<void> {
    for (let from = 0; from < count; ) {
      if (this.#sequences - this.#shardStart === this.#perShard) await this.#nextShard();
      const room = this.#perShard - (this.#sequences - this.#shardStart);
      const to = Math.min(count, from + room);
      const own = ids.subarray(from * this.#length, to * this.#length);
      const stored = this.#dtype === "uint16" ? Uint16Array.from(own) : own.slice();
      await this.#ids.append(new Uint8Array(stored.buffer));
      await this.#kinds.append(kinds.slice(from * this.#length, to * this.#length));
      this.#sequences += to - from;
      from = to;
    }
    for (const kind of kinds) this.#kindCounts[kind]!++;
    await this.#addSpans(spans);
  }

  async #addSpans(spans: PackedSequences["spans"]): Promise<void> {
    const starts = Buffer.alloc(spans.length * spanIndexBytes);
    const entries = Buffer.alloc(spans.reduce((sum, own) => sum + own.length, 0) * spanBytes);
    let at = 0;
    for (const [sequence, own] of spans.entries()) {
      starts.writeBigUInt64LE(BigInt(this.#spanCount), sequence * spanIndexBytes);
      this.#spanCount += own.length;
      for (const { document, first, last, offset } of own) {
        for (const value of [document, first, last, offset]) at = entries.writeUInt32LE(value, at);
      }
    }
    await this.#spanIndex.append(starts);
    await this.#spans.append(entries);
  }

  async end(): Promise<WrittenTokens> {
    await this.#endShard();
    const end = Buffer.alloc(spanIndexBytes);
    end.writeBigUInt64LE(BigInt(this.#spanCount));
    await this.#spanIndex.append(end);
    return {
      n_sequences: this.#sequences,
      n_text_tokens: this.#kindCounts[tokenKind.text]!,
      n_special_tokens: this.#kindCounts[tokenKind.special]!,
      n_padding_tokens: this.#kindCounts[tokenKind.padding]!,
      shards: this.#shards,
      spans: stored(await this.#spans.end()),
      span_index: stored(await this.#spanIndex.end()),
    };
  }

  async abandon(): Promise<void> {
    for (const file of [this.#spans, this.#spanIndex, this.#ids, this.#kinds]) await file.abandon();
  }

  async #nextShard(): Promise<void> {
    await this.#endShard();
    this.#ids = new AppendedFile(this.#folder, idsFile(this.#shards.length));
    this.#kinds = new AppendedFile(this.#folder, kindsFile(this.#shards.length));
    this.#shardStart = this.#sequences;
  }

  async #endShard(): Promise<void> {
    const ids = stored(await this.#ids.end());
    const kinds = stored(await this.#kinds.end());
    const n_sequences = this.#sequences - this.#shardStart;
    this.#shards.push({ first_sequence: this.#shardStart, n_sequences, ids, kinds });
  }
}

function stored({ name, bytes, sha256 }: WrittenFile): TokenSetManifest["spans"] {
  return { file: name, bytes, sha256 };
}
