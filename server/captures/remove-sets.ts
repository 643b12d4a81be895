import { rm } from "node:fs/promises";
import { inArray } from "drizzle-orm";
import type { Executor } from "../../db/executor.ts";
import { activation_sets } from "../../db/schema.ts";
import { setFolder } from "../activations/delete.ts";
import { workingFolder } from "./working-set.ts";

/** Removes the files, begun or whole, of those of the sets that have no row any more. */
export async function removeForgottenSets(db: Executor, home: string, ids: readonly string[]): Promise<void> {
  const known = await db
    .select({ id: activation_sets.id })
    .from(activation_sets)
    .where(inArray(activation_sets.id, [...ids]));
  const forgotten = ids.filter((id) => !known.some((row) => row.id === id));
  for (const id of forgotten) {
    const folder = setFolder(home, id);
    await rm(folder, { recursive: true, force: true });
    await rm(workingFolder(folder), { recursive: true, force: true });
  }
}
