import path from "node:path";
import { and, asc, count, desc, eq, getTableColumns, ilike, inArray, or, type SQL, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { activation_sets, captures, models, runs, tokenizations } from "../../db/schema.ts";
import { modelStatuses } from "../../db/vocabulary.ts";
import { hookPoints } from "../../gpu/lm/hook-points.ts";
import type { ModelSpec } from "../../gpu/lm/model-spec.ts";
import { ConflictError, NotFoundError } from "../errors.ts";
import { afterMark, type Keyset, missingLast, pageMark } from "../keyset.ts";
import { sizesOf } from "./preview.ts";
import type { ModelDetail, ModelSummary } from "./views.ts";

const sortFields = ["created_at", "name", "parameters", "bytes"] as const;

export const listModelsInput = z
  .object({
    status: z.array(z.enum(modelStatuses)).optional(),
    /** Found in name, origin or model type, ignoring case. */
    text: z.string().max(200).optional(),
    sort: z
      .object({ by: z.enum(sortFields), direction: z.enum(["asc", "desc"]) })
      .default({ by: "created_at", direction: "desc" }),
    cursor: z.string().nullish(),
    limit: z.number().int().min(1).max(200).default(50),
  })
  .prefault({});

export interface ModelList {
  items: ModelSummary[];
  next_cursor: string | null;
  /** Models that match, on all pages. */
  total: number;
}

/** Folder of a model, relative to FACET_HOME. */
export function modelPath(id: string): string {
  return path.join("models", id);
}

// Tables in full: Drizzle leaves a column's table out where a query has only one.
const columns = {
  model: getTableColumns(models),
  tokenizations: sql<number>`(select count(*)::int from ${tokenizations} u where u.model_id = ${models}.id)`,
  captures: sql<number>`(select count(*)::int from ${captures} u where u.model_id = ${models}.id)`,
  activation_sets: sql<number>`(select count(*)::int from ${activation_sets} u where u.model_id = ${models}.id)`,
  runs: sql<number>`(select count(*)::int from ${runs} u where u.model_id = ${models}.id)`,
};

type ModelRow = { model: typeof models.$inferSelect } & ModelSummary["uses"];

function summary({ model, ...uses }: ModelRow): ModelSummary {
  const { updated_at: _updated, attempt: _attempt, created_at, spec, ...rest } = model;
  return {
    ...rest,
    d_model: spec?.d_model ?? null,
    n_layers: spec?.n_layers ?? null,
    n_ctx: spec?.n_ctx ?? null,
    d_vocab: spec?.d_vocab ?? null,
    created_at: created_at.toISOString(),
    uses,
  };
}

/** A page of models. Those without a size come last in either direction. */
export async function listModels(db: Executor, input: z.output<typeof listModelsInput>): Promise<ModelList> {
  const keyset = keysetOf(input.sort);
  const order = keyset.direction === "asc" ? asc : desc;
  const filters = and(...filtersOf(input));
  const [rows, [counted]] = await Promise.all([
    db
      .select({ ...columns, key: sql<string>`(${keyset.key})::text` })
      .from(models)
      .where(and(filters, afterMark(keyset, input.cursor)))
      .orderBy(order(keyset.key), order(models.id))
      .limit(input.limit + 1),
    db.select({ n: count() }).from(models).where(filters),
  ]);
  const page = rows.slice(0, input.limit);
  const last = page.at(-1);
  return {
    items: page.map(({ key: _key, ...row }) => summary(row)),
    next_cursor:
      rows.length > input.limit && last !== undefined ? pageMark(keyset, last.key, last.model.id) : null,
    total: counted?.n ?? 0,
  };
}

function filtersOf({ text, status }: z.output<typeof listModelsInput>): (SQL | undefined)[] {
  const words = text?.trim();
  const pattern = words ? `%${words.replace(/[\\%_]/g, "\\$&")}%` : null;
  const searched = [models.name, models.origin, models.model_type];
  return [
    pattern === null ? undefined : or(...searched.map((column) => ilike(column, pattern))),
    status === undefined ? undefined : inArray(models.status, status),
  ];
}

function keysetOf({ by, direction }: z.output<typeof listModelsInput>["sort"]): Keyset {
  const shared = { by, direction, id: models.id };
  switch (by) {
    case "created_at":
      // Ids sort by the time they were made, and unlike a time they never tie.
      return { ...shared, key: sql`${models.id}`, type: "uuid" };
    case "name":
      return { ...shared, key: sql`lower(${models.name})`, type: "text" };
    case "parameters":
    case "bytes":
      return { ...shared, key: missingLast(sql`${models[by]}::float8`, direction), type: "float8" };
  }
}

export const getModelInput = z.object({ id: z.uuid() });

/** Throws `NotFoundError`. */
export async function getModel(db: Executor, { id }: z.output<typeof getModelInput>): Promise<ModelDetail> {
  const [row] = await db.select(columns).from(models).where(eq(models.id, id));
  if (row === undefined) throw new NotFoundError("model", id);
  const { spec } = row.model;
  return {
    ...summary(row),
    path: modelPath(id),
    spec,
    hook_points: spec === null ? [] : hookPoints(spec),
    memory: spec === null ? null : sizesOf(spec).memory,
  };
}

/** A model whose folder can be used. */
export type ReadyModel = typeof models.$inferSelect & { spec: ModelSpec; sha256: string };

/** Throws `NotFoundError`, or `ConflictError` for one that is not ready. */
export async function readyModel(db: Executor, id: string): Promise<ReadyModel> {
  const [model] = await db.select().from(models).where(eq(models.id, id));
  if (model === undefined) throw new NotFoundError("model", id);
  if (model.status === "importing") {
    throw new ConflictError(`“${model.name}” is still being imported; wait until it is ready.`);
  }
  if (model.status === "failed") {
    throw new ConflictError(`The import of “${model.name}” failed; try it again first.`);
  }
  // The database's check models_ready makes these non-null.
  return { ...model, spec: model.spec!, sha256: model.sha256! };
}
