import { stat } from "node:fs/promises";
import path from "node:path";
import type { WrittenFile } from "../artifacts/atomic-folder.ts";
import { rowsFile } from "../artifacts/captured-manifest.ts";
import { GrowingFile, type Standing, stands } from "./growing-file.ts";

/**
 * The files of rows of a set that is being captured, written one after another. What was written and synced before a
 * crash is taken up again; what lies beyond is cut off.
 */
export class RowFiles {
  readonly #folder: string;
  readonly #finished: WrittenFile[];
  #file: GrowingFile | null = null;

  private constructor(folder: string, finished: WrittenFile[]) {
    this.#folder = folder;
    this.#finished = finished;
  }

  /**
   * @param finished Files that are whole.
   * @param open What stands of the file after them; null where that is not begun.
   */
  static async open(
    folder: string,
    finished: readonly WrittenFile[],
    open: Standing | null,
  ): Promise<RowFiles> {
    const files = new RowFiles(folder, [...finished]);
    if (open !== null) files.#file = await GrowingFile.takeUp(folder, rowsFile(finished.length), open);
    return files;
  }

  /** Whether what a state says was written is there, byte for byte. @throws the reason of `signal` */
  static async are(
    folder: string,
    finished: readonly WrittenFile[],
    open: Standing | null,
    signal: AbortSignal,
  ): Promise<boolean> {
    for (const [shard, file] of finished.entries()) {
      const found = await stat(path.join(folder, rowsFile(shard))).catch(() => null);
      if (file.name !== rowsFile(shard) || found?.size !== file.bytes) return false;
    }
    const all = [...finished, ...(open === null ? [] : [open])];
    for (const [shard, standing] of all.entries()) {
      if (!(await stands(path.join(folder, rowsFile(shard)), standing, signal))) return false;
    }
    return true;
  }

  get finished(): readonly WrittenFile[] {
    return this.#finished;
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.#file ??= await GrowingFile.begin(this.#folder, rowsFile(this.#finished.length));
    await this.#file.append(bytes);
  }

  /** What is written stands for sure after this; of the file that is being written, if one is. */
  async synced(): Promise<Standing | null> {
    return (await this.#file?.synced()) ?? null;
  }

  /** Ends the file that is being written; the next bytes begin another. */
  async finish(): Promise<void> {
    const file = this.#file;
    if (file === null) return;
    this.#file = null;
    this.#finished.push(await file.finish());
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = null;
  }
}
