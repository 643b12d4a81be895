import { rm } from "node:fs/promises";
import path from "node:path";
import { and, eq, inArray, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { activation_sets, sae_evaluations, saes } from "../../db/schema.ts";
import { namesIn, removeWithFolder, sweepAside } from "../artifacts/aside.ts";
import { ConflictError, NotFoundError } from "../errors.ts";
import { runsUsing } from "../runs/source-sets.ts";

export const deleteSetInput = z.object({ id: z.uuid() });

/** Folder of a set's manifest and rows. */
export function setFolder(home: string, id: string): string {
  return path.join(home, "activation_sets", id);
}

/**
 * Deletes a set's row and files. Throws `ConflictError` naming the runs that use it, or while it is being imported.
 * The folder is put aside first and comes back when the row cannot go.
 */
export async function deleteActivationSet(
  db: Executor,
  home: string,
  { id }: z.output<typeof deleteSetInput>,
): Promise<{ id: string }> {
  await removeWithFolder(setFolder(home, id), (putAside) =>
    db.transaction(async (tx) => {
      const [set] = await tx
        .select({
          name: activation_sets.name,
          status: activation_sets.status,
          capture_id: activation_sets.capture_id,
        })
        .from(activation_sets)
        .where(eq(activation_sets.id, id))
        .for("update");
      if (set === undefined) throw new NotFoundError("activation set", id);
      if (set.status === "importing") {
        throw new ConflictError(
          set.capture_id === null
            ? `“${set.name}” is still being imported; wait until that ends.`
            : `“${set.name}” is still being captured; cancel the capture first.`,
        );
      }
      const { names, total } = await runsUsing(tx, [id], 3);
      if (total > 0) {
        const more = total - names.length;
        throw new ConflictError(
          `“${set.name}” is used by ${names.map((name) => `“${name}”`).join(", ")}${more > 0 ? ` and ${more} more` : ""}; delete those runs first.`,
        );
      }
      const [measured] = await tx
        .select({ name: saes.name })
        .from(sae_evaluations)
        .innerJoin(saes, eq(saes.id, sae_evaluations.sae_id))
        .where(
          and(
            inArray(sae_evaluations.status, ["queued", "running"]),
            sql`${sae_evaluations.sets} @> ${JSON.stringify([{ id }])}::jsonb`,
          ),
        )
        .limit(1);
      if (measured !== undefined) {
        throw new ConflictError(
          `“${measured.name}” is being evaluated on “${set.name}”; wait until that ends.`,
        );
      }
      await putAside();
      await tx.delete(activation_sets).where(eq(activation_sets.id, id));
    }),
  );
  return { id };
}

/**
 * Finishes or undoes deletions that a crash cut short, and removes uploads whose import died with its process and
 * beginnings of captures that are gone. Call at start, before sets are served.
 */
export async function sweepActivations(db: Executor, home: string): Promise<void> {
  const uploads = path.join(home, "uploads");
  for (const name of await namesIn(uploads)) await rm(path.join(uploads, name), { force: true });
  const sets = path.join(home, "activation_sets");
  const hasRow = async (name: string) => {
    if (!z.uuid().safeParse(name).success) return false;
    const known = await db
      .select({ id: activation_sets.id })
      .from(activation_sets)
      .where(eq(activation_sets.id, name));
    return known.length > 0;
  };
  await sweepAside(sets, hasRow);
  // What a worker wrote of a capture after it was canceled.
  for (const name of await namesIn(sets)) {
    const [id, ...rest] = name.split(".");
    if (rest.join(".") === "capture" && !(await hasRow(id!))) {
      await rm(path.join(sets, name), { recursive: true, force: true });
    }
  }
}
