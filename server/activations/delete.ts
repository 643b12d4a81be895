import { readdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import { count, eq } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { activation_sets, runs } from "../../db/schema.ts";
import { ConflictError, NotFoundError } from "../errors.ts";

export const deleteSetInput = z.object({ id: z.uuid() });

/** Folder of a set's manifest and rows. */
export function setFolder(home: string, id: string): string {
  return path.join(home, "activation_sets", id);
}

const asideSuffix = ".deleted";

/**
 * Deletes a set's row and files. Throws `ConflictError` naming the runs that use it, or while it is being imported.
 * The folder is put aside first and comes back when the row cannot go.
 */
export async function deleteActivationSet(
  db: Executor,
  home: string,
  { id }: z.output<typeof deleteSetInput>,
): Promise<{ id: string }> {
  const folder = setFolder(home, id);
  const aside = `${folder}${asideSuffix}`;
  let moved = false;
  try {
    await db.transaction(async (tx) => {
      const [set] = await tx
        .select({ name: activation_sets.name, status: activation_sets.status })
        .from(activation_sets)
        .where(eq(activation_sets.id, id))
        .for("update");
      if (set === undefined) throw new NotFoundError("activation set", id);
      if (set.status === "importing") {
        throw new ConflictError(`“${set.name}” is still being imported; wait until that ends.`);
      }
      const users = await tx
        .select({ name: runs.name })
        .from(runs)
        .where(eq(runs.activation_set_id, id))
        .limit(3);
      if (users.length > 0) {
        const [total] = await tx.select({ n: count() }).from(runs).where(eq(runs.activation_set_id, id));
        const more = (total?.n ?? users.length) - users.length;
        throw new ConflictError(
          `“${set.name}” is used by ${users.map((run) => `“${run.name}”`).join(", ")}${more > 0 ? ` and ${more} more` : ""}; delete those runs first.`,
        );
      }
      moved = await putAside(folder, aside);
      await tx.delete(activation_sets).where(eq(activation_sets.id, id));
    });
  } catch (error) {
    if (moved) await rename(aside, folder);
    throw error;
  }
  if (moved) await rm(aside, { recursive: true, force: true });
  return { id };
}

/**
 * Finishes or undoes deletions that a crash cut short, and removes uploads whose import died with its process. Call
 * at start, before sets are served.
 */
export async function sweepActivations(db: Executor, home: string): Promise<void> {
  const uploads = path.join(home, "uploads");
  for (const name of await namesIn(uploads)) await rm(path.join(uploads, name), { force: true });
  const folders = await namesIn(path.join(home, "activation_sets"));
  for (const name of folders.filter((one) => one.endsWith(asideSuffix))) {
    const id = name.slice(0, -asideSuffix.length);
    const aside = `${setFolder(home, id)}${asideSuffix}`;
    const known = z.uuid().safeParse(id).success
      ? await db.select({ id: activation_sets.id }).from(activation_sets).where(eq(activation_sets.id, id))
      : [];
    if (known.length > 0) await rename(aside, setFolder(home, id));
    else await rm(aside, { recursive: true, force: true });
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

async function putAside(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw error;
  }
}
