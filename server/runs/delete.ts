import { mkdir, readdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import { and, eq, inArray } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { runs } from "../../db/schema.ts";
import { NotFoundError } from "../errors.ts";
import type { RunQueue } from "../queue.ts";
import { allowedControls, refused } from "./state-machine.ts";
import type { RunStatus } from "./views.ts";
import { notifyRun } from "./write.ts";

export const deleteInput = z.object({ id: z.uuid() });

/** Folder of a run's checkpoints and SAEs. */
export function runFolder(home: string, id: string): string {
  return path.join(home, "runs", id);
}

const trashFolder = (home: string) => path.join(home, "trash");

/**
 * Deletes a run: its row, metrics, events, checkpoints, SAE and files. Throws `ConflictError` while it is active.
 */
export async function deleteRun(
  db: Executor,
  queue: RunQueue,
  home: string,
  { id }: z.output<typeof deleteInput>,
): Promise<{ id: string }> {
  const [seen] = await db
    .select({ status: runs.status, desired: runs.desired, attempt: runs.attempt })
    .from(runs)
    .where(eq(runs.id, id));
  if (seen === undefined) throw new NotFoundError("run", id);
  if (!allowedControls(seen.status, seen.desired).includes("delete")) throw refused(seen, "delete");
  await removeRun(db, queue, home, id, seen);
  return { id };
}

/**
 * Removes rows and files of a run that is still as `seen`. The folder is first renamed into the trash, then the rows
 * go, then the trash: after a crash at any point `sweepTrash` either brings the folder back or finishes the removal.
 */
export async function removeRun(
  db: Executor,
  queue: RunQueue,
  home: string,
  id: string,
  seen: { status: RunStatus; attempt: number },
): Promise<void> {
  const trash = path.join(trashFolder(home), id);
  let moved = false;
  try {
    await db.transaction(async (tx) => {
      const [row] = await tx
        .select({ status: runs.status, desired: runs.desired, attempt: runs.attempt })
        .from(runs)
        .where(eq(runs.id, id))
        .for("update");
      if (row === undefined) throw new NotFoundError("run", id);
      if (row.status !== seen.status || row.attempt !== seen.attempt) throw refused(row, "delete");
      moved = await moveFolder(runFolder(home, id), trash);
      await queue.withdraw(tx, id, row.attempt);
      await tx.delete(runs).where(and(eq(runs.id, id), eq(runs.attempt, seen.attempt)));
      await notifyRun(tx, id);
    });
  } catch (error) {
    if (moved) await moveFolder(trash, runFolder(home, id));
    throw error;
  }
  if (moved) await rm(trash, { recursive: true, force: true });
}

/** Finishes or undoes removals that a crash cut short. Call at start, before runs are served. */
export async function sweepTrash(db: Executor, home: string): Promise<void> {
  const names = await readdir(trashFolder(home)).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  const ids = names.filter((name) => z.uuid().safeParse(name).success);
  if (ids.length === 0) return;
  const alive = await db.select({ id: runs.id }).from(runs).where(inArray(runs.id, ids));
  for (const id of ids) {
    const trash = path.join(trashFolder(home), id);
    if (alive.some((run) => run.id === id)) await moveFolder(trash, runFolder(home, id));
    else await rm(trash, { recursive: true, force: true });
  }
}

async function moveFolder(from: string, to: string): Promise<boolean> {
  await mkdir(path.dirname(to), { recursive: true });
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
