import path from "node:path";
import { eq } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { tokenizations } from "../../db/schema.ts";
import { removeWithFolder, sweepAside } from "../artifacts/aside.ts";
import { ConflictError, NotFoundError } from "../errors.ts";
import { describeUses } from "../uses.ts";
import { tokenizationPath } from "./list.ts";

export const deleteTokenizationInput = z.object({ id: z.uuid() });

/**
 * Deletes a tokenization's row and files. Throws `ConflictError` naming what uses it, or while it is being made. The folder
 * is put aside first and comes back when the row cannot go.
 */
export async function deleteTokenization(
  db: Executor,
  home: string,
  { id }: z.output<typeof deleteTokenizationInput>,
): Promise<{ id: string }> {
  await removeWithFolder(path.join(home, tokenizationPath(id)), (putAside) =>
    db.transaction(async (tx) => {
      const [tokenization] = await tx
        .select()
        .from(tokenizations)
        .where(eq(tokenizations.id, id))
        .for("update");
      if (tokenization === undefined) throw new NotFoundError("tokenization", id);
      if (tokenization.status === "tokenizing") {
        throw new ConflictError(`“${tokenization.name}” is still being tokenized; cancel that first.`);
      }
      const uses = await describeUses(tx, "tokenization", id);
      if (uses !== null)
        throw new ConflictError(`“${tokenization.name}” is used by ${uses}; delete those first.`);
      await putAside();
      await tx.delete(tokenizations).where(eq(tokenizations.id, id));
    }),
  );
  return { id };
}

/** Finishes or undoes deletions that a crash cut short. Call at start, before tokenizations are served. */
export async function sweepTokenizations(db: Executor, home: string): Promise<void> {
  await sweepAside(path.join(home, "tokenizations"), async (name) => {
    if (!z.uuid().safeParse(name).success) return false;
    return (
      (await db.select({ id: tokenizations.id }).from(tokenizations).where(eq(tokenizations.id, name)))
        .length > 0
    );
  });
}
