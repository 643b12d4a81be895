import { rm } from "node:fs/promises";
import path from "node:path";
import { and, eq, inArray } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { runs, sae_evaluations, saes } from "../../db/schema.ts";
import { removeWithFolder, sweepAside } from "../artifacts/aside.ts";
import { ConflictError, NotFoundError } from "../errors.ts";
import { downloadsFolder } from "./export.ts";

export const deleteSaeInput = z.object({ id: z.uuid() });

/** Folder of an imported SAE, relative to FACET_HOME. */
export function saePath(id: string): string {
  return path.join("saes", id);
}

/**
 * Deletes an imported SAE, rows and files. Throws `ConflictError` for one that belongs to a run, is being imported or
 * evaluated. The folder is put aside first and comes back when the row cannot go.
 */
export async function deleteSae(
  db: Executor,
  home: string,
  { id }: z.output<typeof deleteSaeInput>,
): Promise<{ id: string }> {
  await removeWithFolder(path.join(home, saePath(id)), (putAside) =>
    db.transaction(async (tx) => {
      const [sae] = await tx.select().from(saes).where(eq(saes.id, id)).for("update");
      if (sae === undefined) throw new NotFoundError("SAE", id);
      if (sae.run_id !== null) {
        const [run] = await tx.select({ name: runs.name }).from(runs).where(eq(runs.id, sae.run_id));
        throw new ConflictError(
          `This SAE belongs to the run “${run?.name ?? sae.name}” and goes with it; delete that run instead.`,
        );
      }
      if (sae.status === "importing") {
        throw new ConflictError(`“${sae.name}” is still being imported; wait until that ends.`);
      }
      const [busy] = await tx
        .select({ id: sae_evaluations.id })
        .from(sae_evaluations)
        .where(and(eq(sae_evaluations.sae_id, id), inArray(sae_evaluations.status, ["queued", "running"])))
        .limit(1);
      if (busy !== undefined) {
        throw new ConflictError(`“${sae.name}” is being evaluated; wait until that ends, or cancel it.`);
      }
      await putAside();
      await tx.delete(saes).where(eq(saes.id, id));
    }),
  );
  return { id };
}

/** Finishes or undoes deletions, and ends downloads, that a crash cut short. Call at start, before SAEs are served. */
export async function sweepSaes(db: Executor, home: string): Promise<void> {
  await rm(path.join(home, downloadsFolder), { recursive: true, force: true });
  await sweepAside(path.join(home, "saes"), async (name) => {
    if (!z.uuid().safeParse(name).success) return false;
    return (await db.select({ id: saes.id }).from(saes).where(eq(saes.id, name))).length > 0;
  });
}
