import { createHash, randomBytes } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat, statfs } from "node:fs/promises";
import path from "node:path";
import { StorageError, storageError } from "./storage-error.ts";

export interface WrittenFile {
  name: string;
  bytes: number;
  sha256: string;
}

export interface WrittenFolder {
  path: string;
  files: WrittenFile[];
  bytes: number;
  /** Hash of the folder: SHA-256 over the lines `<sha256 of file>  <name>`, sorted by name. */
  sha256: string;
}

export interface FolderWriter {
  /** Writes, hashes and fsyncs one file of the folder. */
  file(name: string, pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<WrittenFile>;
}

/**
 * Makes the folder `target` whole or not at all: files are written to a folder beside it, each fsynced and hashed, the
 * folder is fsynced and renamed, then the parent is fsynced. A folder that was there before is replaced.
 * Whatever `write` throws leaves `target` as it was. `result` is what `write` returned.
 * Throws `StorageError` when `expectedBytes` do not fit, and when the disk is full, read-only or closed to us.
 */
export async function writeFolder<T>(
  target: string,
  write: (folder: FolderWriter) => Promise<T>,
  expectedBytes = 0,
): Promise<WrittenFolder & { result: T }> {
  const parent = path.dirname(target);
  const aside = path.join(parent, `.${path.basename(target)}.partial-${randomBytes(6).toString("hex")}`);
  const files: WrittenFile[] = [];
  let result: T;
  try {
    await mkdir(parent, { recursive: true });
    await removeLeftovers(parent, path.basename(target));
    await checkSpace(parent, expectedBytes);
    await mkdir(aside);
    result = await write({
      async file(name, pieces) {
        const written = await writeFile(aside, name, pieces);
        files.push(written);
        return written;
      },
    });
    await syncFolder(aside);
    await replace(aside, target);
    await syncFolder(parent);
  } catch (error) {
    // What cannot be cleared now is cleared before the next write; the first error is the one to tell.
    await rm(aside, { recursive: true, force: true }).catch(() => undefined);
    throw storageError(parent, error);
  }
  return {
    path: target,
    files,
    bytes: files.reduce((sum, file) => sum + file.bytes, 0),
    sha256: folderHash(files),
    result,
  };
}

export function folderHash(files: readonly WrittenFile[]): string {
  const lines = files.map(({ name, sha256 }) => `${sha256}  ${name}\n`);
  return createHash("sha256")
    .update(lines.sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1)).join(""))
    .digest("hex");
}

async function writeFile(
  folder: string,
  name: string,
  pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<WrittenFile> {
  const hash = createHash("sha256");
  let bytes = 0;
  const handle = await open(path.join(folder, name), "wx");
  try {
    for await (const piece of pieces) {
      for (let done = 0; done < piece.byteLength; ) {
        const { bytesWritten } = await handle.write(piece, done, piece.byteLength - done);
        done += bytesWritten;
      }
      hash.update(piece);
      bytes += piece.byteLength;
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  return { name, bytes, sha256: hash.digest("hex") };
}

/** Makes renames in a folder last. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A folder cannot be renamed over another, so an old one steps aside first; `removeLeftovers` mends a crash in between. */
async function replace(aside: string, target: string): Promise<void> {
  if (await exists(target)) {
    const old = path.join(
      path.dirname(target),
      `.${path.basename(target)}.replaced-${randomBytes(6).toString("hex")}`,
    );
    await rename(target, old);
    try {
      await rename(aside, target);
    } catch (error) {
      await rename(old, target);
      throw error;
    }
    await rm(old, { recursive: true, force: true });
  } else {
    await rename(aside, target);
  }
}

/**
 * Moves the whole folder `draft` to `target` on the same disk, in the place of what is there. Called again after that
 * it does nothing, so that it may be repeated with the transaction it is part of. Throws `StorageError`.
 */
export async function publishFolder(draft: string, target: string): Promise<void> {
  const parent = path.dirname(target);
  try {
    if (!(await exists(draft)) && (await exists(target))) return;
    await mkdir(parent, { recursive: true });
    await replace(draft, target);
    await syncFolder(parent);
  } catch (error) {
    throw storageError(parent, error);
  }
}

async function exists(target: string): Promise<boolean> {
  return stat(target).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
}

/** Throws `StorageError` when the disk that holds `folder` has fewer than `wanted` bytes free. */
export async function checkSpace(folder: string, wanted: number): Promise<void> {
  if (wanted <= 0) return;
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free >= wanted) return;
  const megabytes = (bytes: number) => `${Math.ceil(bytes / 1e6).toLocaleString("en")} MB`;
  throw new StorageError(
    "disk_full",
    `${megabytes(wanted)} are needed in ${folder}, but its disk has ${megabytes(free)} free. Free some space, or use a folder on a larger disk (the studio's is FACET_HOME), and try again.`,
  );
}

/**
 * Removes what a crash left of half-written folders in `parent`, and puts a folder back that was being replaced. Call it
 * only where no other writer is at work on the same folders. With `basename`, for that folder only.
 */
export async function removeLeftovers(parent: string, basename?: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const match = /^\.(.+)\.(partial|replaced)-[0-9a-f]{12}$/.exec(name);
    if (!match || (basename !== undefined && match[1] !== basename)) continue;
    const leftover = path.join(parent, name);
    const target = path.join(parent, match[1]!);
    if (match[2] === "replaced" && !(await exists(target))) await rename(leftover, target);
    else await rm(leftover, { recursive: true, force: true });
  }
}
