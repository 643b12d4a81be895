import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import type { DownloadedFile } from "./download.ts";
import type { RemoteFile } from "./remote-file.ts";

const pieceBytes = 2 ** 20;

/** A file that is being downloaded, hashed as it grows. */
export class PartFile {
  readonly #handle: FileHandle;
  readonly #file: RemoteFile;
  #sha256!: Hash;
  #git!: Hash;
  #bytes = 0;

  private constructor(handle: FileHandle, file: RemoteFile) {
    this.#handle = handle;
    this.#file = file;
    this.#begin();
  }

  /** What is there is kept where its hash can tell later whether it was right, and thrown away otherwise. */
  static async open(path: string, file: RemoteFile, signal: AbortSignal): Promise<PartFile> {
    const handle = await open(path, "a+").then(async (made) => {
      await made.close();
      return open(path, "r+");
    });
    const part = new PartFile(handle, file);
    try {
      const { size } = await handle.stat();
      const known = file.sha256 !== null || (file.git_sha1 ?? null) !== null;
      if (size === 0) return part;
      if (known && size <= file.size) await part.#readAgain(size, signal);
      else await part.restart();
      return part;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** On the disk so far. */
  get bytes(): number {
    return this.#bytes;
  }

  async add(piece: Uint8Array): Promise<void> {
    for (let done = 0; done < piece.byteLength; ) {
      const rest = piece.byteLength - done;
      const { bytesWritten } = await this.#handle.write(piece, done, rest, this.#bytes + done);
      done += bytesWritten;
    }
    this.#take(piece);
  }

  async restart(): Promise<void> {
    await this.#handle.truncate(0);
    this.#begin();
  }

  /** Null: the content is not what the hub's hash says; no hash is no proof against it. */
  digest(): DownloadedFile | null {
    const { sha256, git_sha1 = null } = this.#file;
    const found = this.#sha256.copy().digest("hex");
    const wrong =
      sha256 !== null ? found !== sha256 : git_sha1 !== null && this.#git.copy().digest("hex") !== git_sha1;
    return wrong ? null : { bytes: this.#bytes, sha256: found };
  }

  sync(): Promise<void> {
    return this.#handle.sync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  #begin(): void {
    this.#bytes = 0;
    this.#sha256 = createHash("sha256");
    this.#git = createHash("sha1").update(`blob ${this.#file.size}\0`);
  }

  #take(piece: Uint8Array): void {
    this.#sha256.update(piece);
    if (this.#file.sha256 === null) this.#git.update(piece);
    this.#bytes += piece.byteLength;
  }

  async #readAgain(size: number, signal: AbortSignal): Promise<void> {
    const buffer = new Uint8Array(Math.min(pieceBytes, size));
    while (this.#bytes < size) {
      signal.throwIfAborted();
      const wanted = Math.min(buffer.byteLength, size - this.#bytes);
      const { bytesRead } = await this.#handle.read(buffer, 0, wanted, this.#bytes);
      if (bytesRead === 0) return;
      this.#take(buffer.subarray(0, bytesRead));
    }
  }
}
