import { rm } from "node:fs/promises";
import path from "node:path";
import { eq } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { models } from "../../db/schema.ts";
import { namesIn, removeWithFolder, sweepAside } from "../artifacts/aside.ts";
import { ConflictError, NotFoundError } from "../errors.ts";
import { describeUses } from "../uses.ts";
import { modelPath } from "./list.ts";

/** What an import that was cut off left, beside the model's place, for another try. */
const partial = ".partial";

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
  await rm(path.join(home, `${modelPath(id)}${partial}`), { recursive: true, force: true });
  return { id };
}

/** Finishes or undoes deletions that a crash cut short. Call at start, before models are served. */
export async function sweepModels(db: Executor, home: string): Promise<void> {
  const folder = path.join(home, "models");
  const hasRow = async (name: string) => {
    if (!z.uuid().safeParse(name).success) return false;
    return (await db.select({ id: models.id }).from(models).where(eq(models.id, name))).length > 0;
  };
  await sweepAside(folder, hasRow);
  for (const name of await namesIn(folder)) {
    if (!name.endsWith(partial) || (await hasRow(name.slice(0, -partial.length)))) continue;
    await rm(path.join(folder, name), { recursive: true, force: true });
  }
}
