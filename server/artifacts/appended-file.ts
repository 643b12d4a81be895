import { once } from "node:events";
import { PassThrough } from "node:stream";
import type { FolderWriter, WrittenFile } from "./atomic-folder.ts";

/** Small writes are put together to this. */
const pieceBytes = 2 ** 20;

/** A file of a folder that is being written, to which bytes are given as they come. */
export class AppendedFile {
  readonly #stream = new PassThrough({ highWaterMark: 2 * pieceBytes });
  readonly #written: Promise<WrittenFile>;
  #gathered: Uint8Array[] = [];
  #size = 0;

  constructor(folder: FolderWriter, name: string) {
    this.#written = folder.file(name, this.#stream);
    // It is told where the next bytes are given.
    this.#written.catch(() => undefined);
    this.#stream.on("error", () => undefined);
  }

  /** The bytes must not be changed afterwards. Rejects when an earlier write failed. */
  async append(bytes: Uint8Array): Promise<void> {
    this.#gathered.push(bytes);
    this.#size += bytes.byteLength;
    if (this.#size >= pieceBytes) await this.#flush();
  }

  async end(): Promise<WrittenFile> {
    await this.#flush();
    this.#stream.end();
    return this.#written;
  }

  /** Gives up, so that the file is closed. Waits for that. */
  async abandon(): Promise<void> {
    this.#stream.destroy(new Error("abandoned"));
    await this.#written.catch(() => undefined);
  }

  async #flush(): Promise<void> {
    if (this.#size === 0) return;
    const bytes = Buffer.concat(this.#gathered);
    this.#gathered = [];
    this.#size = 0;
    if (!this.#stream.write(bytes)) await Promise.race([once(this.#stream, "drain"), this.#written]);
  }
}
