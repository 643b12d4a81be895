import { and, asc, eq, inArray, type SQL } from "drizzle-orm";
import type { Executor } from "../db/executor.ts";
import { activation_sets, captures, runs, sae_evaluations, saes, tokenizations } from "../db/schema.ts";

/** How many users of a thing are named. */
const named = 3;

interface Use {
  kind: string;
  name: string;
}

/**
 * What uses a model, a dataset or a tokenization, in a few words for a message: `the tokenization “a” and 2 more`; null
 * where nothing does.
 */
export async function describeUses(
  db: Executor,
  of: "dataset" | "model" | "tokenization",
  id: string,
): Promise<string | null> {
  const uses: Use[] = [];
  const add = async (kind: string, rows: PromiseLike<{ name: string }[]>) => {
    uses.push(...(await rows).map(({ name }) => ({ kind, name })));
  };
  if (of === "dataset" || of === "model") {
    const column = of === "dataset" ? tokenizations.dataset_id : tokenizations.model_id;
    await add("tokenization", namesIn(db, tokenizations, eq(column, id)));
  }
  if (of !== "dataset") {
    const byModel = of === "model";
    const ofSets = byModel ? activation_sets.model_id : activation_sets.tokenization_id;
    await add(
      "capture",
      namesIn(db, captures, eq(byModel ? captures.model_id : captures.tokenization_id, id)),
    );
    await add("activation set", namesIn(db, activation_sets, eq(ofSets, id)));
    await add("run", namesIn(db, runs, eq(byModel ? runs.model_id : runs.tokenization_id, id)));
  }
  if (of !== "dataset") {
    const column = of === "model" ? sae_evaluations.model_id : sae_evaluations.tokenization_id;
    const open = inArray(sae_evaluations.status, ["queued", "running"]);
    const rows = db
      .select({ name: saes.name })
      .from(sae_evaluations)
      .innerJoin(saes, eq(saes.id, sae_evaluations.sae_id))
      .where(and(eq(column, id), open));
    await add("evaluation of", rows);
  }
  if (uses.length === 0) return null;
  const shown = uses.slice(0, named).map(({ kind, name }) => `the ${kind} “${name}”`);
  const more = uses.length - shown.length;
  return `${shown.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

type Named = typeof activation_sets | typeof captures | typeof runs | typeof tokenizations;

function namesIn(db: Executor, table: Named, condition: SQL): PromiseLike<{ name: string }[]> {
  return db.select({ name: table.name }).from(table).where(condition).orderBy(asc(table.id));
}
