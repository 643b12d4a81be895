import { readdir, rename, rm } from "node:fs/promises";
import path from "node:path";

// Folders are deleted in two moves, so that rows and files go together: first put aside beside itself, then, once the
// row is gone, removed. After a crash in between the row says which way to go.

const suffix = ".deleted";

/**
 * Deletes a folder together with its rows: `removeRows` calls what it is given just before the rows go. The folder comes
 * back when that fails.
 */
export async function removeWithFolder(
  folder: string,
  removeRows: (putAside: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const aside = `${folder}${suffix}`;
  let moved = false;
  try {
    await removeRows(async () => {
      moved = await renamed(folder, aside);
    });
  } catch (error) {
    if (moved) await rename(aside, folder);
    throw error;
  }
  if (moved) await rm(aside, { recursive: true, force: true });
}

async function renamed(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** Finishes or undoes deletions that a crash cut short: what has a row comes back. */
export async function sweepAside(parent: string, hasRow: (name: string) => Promise<boolean>): Promise<void> {
  for (const entry of await namesIn(parent)) {
    if (!entry.endsWith(suffix)) continue;
    const name = entry.slice(0, -suffix.length);
    if (await hasRow(name)) await rename(path.join(parent, entry), path.join(parent, name));
    else await rm(path.join(parent, entry), { recursive: true, force: true });
  }
}

/** Names in a folder; none where there is no such folder. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
