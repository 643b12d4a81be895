import { rm } from "node:fs/promises";
import path from "node:path";
import { eq } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { datasets } from "../../db/schema.ts";
import { removeWithFolder, sweepAside } from "../artifacts/aside.ts";
import { ConflictError, NotFoundError } from "../errors.ts";
import { describeUses } from "../uses.ts";
import { keptUpload } from "./kept-upload.ts";
import { datasetPath } from "./list.ts";

export const deleteDatasetInput = z.object({ id: z.uuid() });

/**
 * Deletes a dataset's row and files. Throws `ConflictError` naming what uses it, or while it is being imported. The folder
 * is put aside first and comes back when the row cannot go.
 */
export async function deleteDataset(
  db: Executor,
  home: string,
  { id }: z.output<typeof deleteDatasetInput>,
): Promise<{ id: string }> {
  await removeWithFolder(path.join(home, datasetPath(id)), (putAside) =>
    db.transaction(async (tx) => {
      const [dataset] = await tx.select().from(datasets).where(eq(datasets.id, id)).for("update");
      if (dataset === undefined) throw new NotFoundError("dataset", id);
      if (dataset.status === "importing") {
        throw new ConflictError(`“${dataset.name}” is still being imported; cancel that first.`);
      }
      const uses = await describeUses(tx, "dataset", id);
      if (uses !== null) throw new ConflictError(`“${dataset.name}” is used by ${uses}; delete those first.`);
      await putAside();
      const { source } = dataset;
      if (source.kind === "upload") await rm(keptUpload(home, id, source.file_name), { force: true });
      await tx.delete(datasets).where(eq(datasets.id, id));
    }),
  );
  return { id };
}

/** Finishes or undoes deletions that a crash cut short. Call at start, before datasets are served. */
export async function sweepDatasets(db: Executor, home: string): Promise<void> {
  await sweepAside(path.join(home, "datasets"), async (name) => {
    if (!z.uuid().safeParse(name).success) return false;
    return (await db.select({ id: datasets.id }).from(datasets).where(eq(datasets.id, name))).length > 0;
  });
}
