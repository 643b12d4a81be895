import { eq } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { runs, saes } from "../../db/schema.ts";
import { ConflictError, NotFoundError } from "../errors.ts";
import { readEvaluations, saeColumns, saeDetail } from "./read.ts";
import type { SaeDetail } from "./views.ts";

export const getSaeInput = z.object({ id: z.uuid() });

/** Throws `NotFoundError`. */
export async function getSae(db: Executor, { id }: z.output<typeof getSaeInput>): Promise<SaeDetail> {
  const [row] = await db
    .select(saeColumns)
    .from(saes)
    .leftJoin(runs, eq(runs.id, saes.run_id))
    .where(eq(saes.id, id));
  if (row === undefined) throw new NotFoundError("SAE", id);
  return saeDetail(row, await readEvaluations(db, id));
}

/** An SAE whose folder can be used. Throws `NotFoundError`, or `ConflictError` for one that is not ready. */
export async function readySae(db: Executor, id: string): Promise<typeof saes.$inferSelect> {
  const [sae] = await db.select().from(saes).where(eq(saes.id, id));
  if (sae === undefined) throw new NotFoundError("SAE", id);
  if (sae.status === "importing") {
    throw new ConflictError(`“${sae.name}” is still being imported; wait until it is ready.`);
  }
  if (sae.status === "failed") {
    throw new ConflictError(`The import of “${sae.name}” failed, so there is nothing to use.`);
  }
  return sae;
}
