import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import path from "node:path";
import { checkSpace, syncFolder } from "./atomic-folder.ts";
import { storageError } from "./storage-error.ts";

/**
 * Makes the file `target` whole or not at all: what `write` writes goes to a file beside it, which is fsynced and
 * renamed. A file that was there before is replaced. Whatever `write` throws leaves `target` as it was.
 * @throws StorageError when `expectedBytes` do not fit, and when the disk is full, read-only or closed to us
 */
export async function writeWholeFile(
  target: string,
  write: (file: FileHandle) => Promise<void>,
  expectedBytes = 0,
): Promise<void> {
  const partial = `${target}.partial`;
  const folder = path.dirname(path.resolve(target));
  try {
    await mkdir(folder, { recursive: true });
    await checkSpace(folder, expectedBytes);
    const file = await open(partial, "w");
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, target);
    await syncFolder(folder);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined);
    throw storageError(folder, error);
  }
}
