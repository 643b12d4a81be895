import path from "node:path";
import { eq } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { models } from "../../db/schema.ts";
import { removeWithFolder, sweepAside } from "../artifacts/aside.ts";
import { ConflictError, NotFoundError } from "../errors.ts";
import { describeUses } from "../uses.ts";
import { modelPath } from "./list.ts";

export const deleteModelInput = z.object({ id: z.uuid() });

/**
 * Deletes a model's row and files. Throws `ConflictError` naming what uses it, or while it is being imported. The folder
 * is put aside first and comes back when the row cannot go.
 */
export async function deleteModel(
  db: Executor,
  home: string,
  { id }: z.output<typeof deleteModelInput>,
): Promise<{ id: string }> {
  await removeWithFolder(path.join(home, modelPath(id)), (putAside) =>
    db.transaction(async (tx) => {
      const [model] = await tx.select().from(models).where(eq(models.id, id)).for("update");
      if (model === undefined) throw new NotFoundError("model", id);
      if (model.status === "importing") {
        throw new ConflictError(`“${model.name}” is still being imported; cancel that first.`);
      }
      const uses = await describeUses(tx, "model", id);
      if (uses !== null) throw new ConflictError(`“${model.name}” is used by ${uses}; delete those first.`);
      await putAside();
      await tx.delete(models).where(eq(models.id, id));
    }),
  );
  return { id };
}

/** Finishes or undoes deletions that a crash cut short. Call at start, before models are served. */
export async function sweepModels(db: Executor, home: string): Promise<void> {
  await sweepAside(path.join(home, "models"), async (name) => {
    if (!z.uuid().safeParse(name).success) return false;
    return (await db.select({ id: models.id }).from(models).where(eq(models.id, name))).length > 0;
  });
}
