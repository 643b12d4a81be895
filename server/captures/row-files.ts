import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open, stat, truncate } from "node:fs/promises";
import path from "node:path";
import type { WrittenFile } from "../artifacts/atomic-folder.ts";
import { rowsFile } from "../artifacts/captured-manifest.ts";

/** Read at a time where a file's hash is made again. */
const pieceBytes = 4 * 2 ** 20;

/**
 * The files of rows of a set that is being captured, written one after another. What was written and synced before a
 * crash is taken up again: what lies beyond is cut off, and the hash of the last file is made again from its bytes.
 */
export class RowFiles {
  readonly #folder: string;
  readonly #finished: WrittenFile[];
  #file: { handle: FileHandle; hash: Hash; name: string; bytes: number } | null = null;

  private constructor(folder: string, finished: WrittenFile[]) {
    this.#folder = folder;
    this.#finished = finished;
  }

  /**
   * @param finished Files that are whole.
   * @param bytes Of the file after them that stand for sure.
   */
  static async open(folder: string, finished: readonly WrittenFile[], bytes: number): Promise<RowFiles> {
    const files = new RowFiles(folder, [...finished]);
    if (bytes > 0) await files.#takeUp(bytes);
    return files;
  }

  /** Whether what a state says was written is there. */
  static async are(folder: string, finished: readonly WrittenFile[], bytes: number): Promise<boolean> {
    const sizes = [...finished.map((file) => file.bytes), ...(bytes > 0 ? [bytes] : [])];
    for (const [shard, least] of sizes.entries()) {
      const found = await stat(path.join(folder, rowsFile(shard))).catch(() => null);
      const whole = shard < finished.length;
      if (found === null || (whole ? found.size !== least : found.size < least)) return false;
    }
    return true;
  }

  get finished(): readonly WrittenFile[] {
    return this.#finished;
  }

  /** Of the file that is being written. */
  get bytes(): number {
    return this.#file?.bytes ?? 0;
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.#file ??= await this.#begin();
    for (let done = 0; done < bytes.byteLength; ) {
      const { bytesWritten } = await this.#file.handle.write(bytes, done, bytes.byteLength - done);
      done += bytesWritten;
    }
    this.#file.hash.update(bytes);
    this.#file.bytes += bytes.byteLength;
  }

  async sync(): Promise<void> {
    await this.#file?.handle.sync();
  }

  /** Ends the file that is being written; the next bytes begin another. */
  async finish(): Promise<void> {
    if (this.#file === null) return;
    const { handle, hash, name, bytes } = this.#file;
    await handle.sync();
    await handle.close();
    this.#file = null;
    this.#finished.push({ name, bytes, sha256: hash.digest("hex") });
  }

  async close(): Promise<void> {
    await this.#file?.handle.close();
    this.#file = null;
  }

  async #begin() {
    const name = rowsFile(this.#finished.length);
    const handle = await open(path.join(this.#folder, name), "w");
    return { handle, hash: createHash("sha256"), name, bytes: 0 };
  }

  async #takeUp(bytes: number): Promise<void> {
    const name = rowsFile(this.#finished.length);
    const file = path.join(this.#folder, name);
    await truncate(file, bytes);
    const handle = await open(file, "r+");
    const hash = createHash("sha256");
    const piece = new Uint8Array(Math.min(pieceBytes, bytes));
    for (let at = 0; at < bytes; ) {
      const { bytesRead } = await handle.read(piece, 0, Math.min(piece.byteLength, bytes - at), at);
      if (bytesRead === 0) throw new Error(`${file} ends at ${at} of ${bytes} bytes.`);
      hash.update(piece.subarray(0, bytesRead));
      at += bytesRead;
    }
    await handle.close();
    // Appending writes at the end, which is where the bytes that stand end.
    this.#file = { handle: await open(file, "a"), hash, name, bytes };
  }
}
