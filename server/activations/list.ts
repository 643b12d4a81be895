import { and, count, desc, eq, getTableColumns, ilike, inArray, lt, or, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { activation_sets, run_activation_sets } from "../../db/schema.ts";
import { activationSetStatuses } from "../../db/vocabulary.ts";
import { NotFoundError } from "../errors.ts";
import type { ActivationSetView } from "./views.ts";

export const listSetsInput = z
  .object({
    status: z.array(z.enum(activationSetStatuses)).optional(),
    /** Found in name, hook point, model or dataset, ignoring case. */
    text: z.string().max(200).optional(),
    cursor: z.uuid().nullish(),
    limit: z.number().int().min(1).max(200).default(50),
  })
  .prefault({});

export interface ActivationSetList {
  items: ActivationSetView[];
  next_cursor: string | null;
  total: number;
}

const columns = {
  set: getTableColumns(activation_sets),
  // Tables in full: Drizzle leaves a column's table out where a query has only one.
  runs: sql<number>`(select count(distinct r.run_id)::int from ${run_activation_sets} r where r.activation_set_id = ${activation_sets}.id)`,
};

function view({ set, runs }: { set: typeof activation_sets.$inferSelect; runs: number }): ActivationSetView {
  const { updated_at: _updated, created_at, ...rest } = set;
  return { ...rest, created_at: created_at.toISOString(), runs };
}

/** A page of activation sets, newest first; pages follow each other by id, so new sets shift nothing. */
export async function listActivationSets(
  db: Executor,
  input: z.output<typeof listSetsInput>,
): Promise<ActivationSetList> {
  const words = input.text?.trim();
  const pattern = words ? `%${words.replace(/[\\%_]/g, "\\$&")}%` : null;
  const filters = and(
    input.status === undefined ? undefined : inArray(activation_sets.status, input.status),
    pattern === null
      ? undefined
      : or(
          ilike(activation_sets.name, pattern),
          ilike(activation_sets.hook_name, pattern),
          ilike(activation_sets.model_name, pattern),
          ilike(activation_sets.dataset_name, pattern),
        ),
  );
  const [rows, [counted]] = await Promise.all([
    db
      .select(columns)
      .from(activation_sets)
      .where(and(filters, input.cursor ? lt(activation_sets.id, input.cursor) : undefined))
      .orderBy(desc(activation_sets.id))
      .limit(input.limit + 1),
    db.select({ n: count() }).from(activation_sets).where(filters),
  ]);
  const page = rows.slice(0, input.limit);
  return {
    items: page.map(view),
    next_cursor: rows.length > input.limit ? (page.at(-1)?.set.id ?? null) : null,
    total: counted?.n ?? 0,
  };
}

export const getSetInput = z.object({ id: z.uuid() });

/** Throws `NotFoundError`. */
export async function getActivationSet(
  db: Executor,
  { id }: z.output<typeof getSetInput>,
): Promise<ActivationSetView> {
  const [row] = await db.select(columns).from(activation_sets).where(eq(activation_sets.id, id));
  if (row === undefined) throw new NotFoundError("activation set", id);
  return view(row);
}
