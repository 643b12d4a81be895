import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open, truncate } from "node:fs/promises";
import path from "node:path";
import type { WrittenFile } from "../artifacts/atomic-folder.ts";
import { openFile } from "../artifacts/file-source.ts";

/** Read at a time where a hash is made again. */
const pieceBytes = 4 * 2 ** 20;

/** The beginning of a file that stands for sure. */
export interface Standing {
  bytes: number;
  sha256: string;
}

/** A file that is only ever appended to, with its hash so far. */
export class GrowingFile {
  readonly #name: string;
  readonly #handle: FileHandle;
  readonly #hash: Hash;
  #bytes: number;

  private constructor(name: string, handle: FileHandle, hash: Hash, bytes: number) {
    this.#name = name;
    this.#handle = handle;
    this.#hash = hash;
    this.#bytes = bytes;
  }

  static async begin(folder: string, name: string): Promise<GrowingFile> {
    return new GrowingFile(name, await open(path.join(folder, name), "w"), createHash("sha256"), 0);
  }

  /** Goes on after the bytes that stand, which have been checked; what lies beyond them is cut off. */
  static async takeUp(folder: string, name: string, { bytes }: Standing): Promise<GrowingFile> {
    const file = path.join(folder, name);
    await truncate(file, bytes);
    const hash = await hashOf(file, bytes);
    // Appending writes at the end, which is where the bytes that stand end.
    return new GrowingFile(name, await open(file, "a"), hash, bytes);
  }

  get bytes(): number {
    return this.#bytes;
  }

  async append(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.byteLength; ) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.byteLength - done);
      done += bytesWritten;
    }
    this.#hash.update(bytes);
    this.#bytes += bytes.byteLength;
  }

  /** What was written stands for sure after this. */
  async synced(): Promise<Standing> {
    await this.#handle.sync();
    return { bytes: this.#bytes, sha256: this.#hash.copy().digest("hex") };
  }

  async finish(): Promise<WrittenFile> {
    await this.#handle.sync();
    await this.#handle.close();
    return { name: this.#name, bytes: this.#bytes, sha256: this.#hash.digest("hex") };
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** Whether a file begins with what stood for sure. @throws the reason of `signal` */
export async function stands(
  file: string,
  { bytes, sha256 }: Standing,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    return (await hashOf(file, bytes, signal)).digest("hex") === sha256;
  } catch {
    // Missing, shorter, or not to be read.
    signal.throwIfAborted();
    return false;
  }
}

async function hashOf(file: string, bytes: number, signal?: AbortSignal): Promise<Hash> {
  const source = await openFile(file);
  try {
    const hash = createHash("sha256");
    for (let at = 0; at < bytes; at += pieceBytes) {
      signal?.throwIfAborted();
      hash.update(await source.read(at, Math.min(pieceBytes, bytes - at)));
    }
    return hash;
  } finally {
    await source.close();
  }
}
