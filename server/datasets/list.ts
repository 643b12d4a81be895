import path from "node:path";
import { and, asc, count, desc, eq, getTableColumns, ilike, inArray, or, type SQL, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { datasets, tokenizations } from "../../db/schema.ts";
import { datasetStatuses } from "../../db/vocabulary.ts";
import { ConflictError, NotFoundError } from "../errors.ts";
import { afterMark, type Keyset, missingLast, pageMark } from "../keyset.ts";
import type { DatasetDetail, DatasetSummary } from "./views.ts";

const sortFields = ["created_at", "name", "n_documents", "bytes"] as const;

export const listDatasetsInput = z
  .object({
    status: z.array(z.enum(datasetStatuses)).optional(),
    /** Found in name or origin, ignoring case. */
    text: z.string().max(200).optional(),
    sort: z
      .object({ by: z.enum(sortFields), direction: z.enum(["asc", "desc"]) })
      .default({ by: "created_at", direction: "desc" }),
    cursor: z.string().nullish(),
    limit: z.number().int().min(1).max(200).default(50),
  })
  .prefault({});

export interface DatasetList {
  items: DatasetSummary[];
  next_cursor: string | null;
  /** Datasets that match, on all pages. */
  total: number;
}

/** Folder of a dataset, relative to FACET_HOME. */
export function datasetPath(id: string): string {
  return path.join("datasets", id);
}

// Tables in full: Drizzle leaves a column's table out where a query has only one.
const columns = {
  dataset: getTableColumns(datasets),
  tokenizations: sql<number>`(select count(*)::int from ${tokenizations} u where u.dataset_id = ${datasets}.id)`,
};

interface DatasetRow {
  dataset: typeof datasets.$inferSelect;
  tokenizations: number;
}

function summary({ dataset, tokenizations }: DatasetRow): DatasetSummary {
  const {
    updated_at: _updated,
    attempt: _attempt,
    statistics: _statistics,
    options: _options,
    created_at,
    ...rest
  } = dataset;
  return { ...rest, created_at: created_at.toISOString(), tokenizations };
}

/** A page of datasets. Those without a size come last in either direction. */
export async function listDatasets(
  db: Executor,
  input: z.output<typeof listDatasetsInput>,
): Promise<DatasetList> {
  const keyset = keysetOf(input.sort);
  const order = keyset.direction === "asc" ? asc : desc;
  const filters = and(...filtersOf(input));
  const [rows, [counted]] = await Promise.all([
    db
      .select({ ...columns, key: sql<string>`(${keyset.key})::text` })
      .from(datasets)
      .where(and(filters, afterMark(keyset, input.cursor)))
      .orderBy(order(keyset.key), order(datasets.id))
      .limit(input.limit + 1),
    db.select({ n: count() }).from(datasets).where(filters),
  ]);
  const page = rows.slice(0, input.limit);
  const last = page.at(-1);
  return {
    items: page.map(summary),
    next_cursor:
      rows.length > input.limit && last !== undefined ? pageMark(keyset, last.key, last.dataset.id) : null,
    total: counted?.n ?? 0,
  };
}

function filtersOf({ text, status }: z.output<typeof listDatasetsInput>): (SQL | undefined)[] {
  const words = text?.trim();
  const pattern = words ? `%${words.replace(/[\\%_]/g, "\\$&")}%` : null;
  return [
    pattern === null ? undefined : or(ilike(datasets.name, pattern), ilike(datasets.origin, pattern)),
    status === undefined ? undefined : inArray(datasets.status, status),
  ];
}

function keysetOf({ by, direction }: z.output<typeof listDatasetsInput>["sort"]): Keyset {
  const shared = { by, direction, id: datasets.id };
  switch (by) {
    case "created_at":
      // Ids sort by the time they were made, and unlike a time they never tie.
      return { ...shared, key: sql`${datasets.id}`, type: "uuid" };
    case "name":
      return { ...shared, key: sql`lower(${datasets.name})`, type: "text" };
    case "n_documents":
    case "bytes":
      return { ...shared, key: missingLast(sql`${datasets[by]}::float8`, direction), type: "float8" };
  }
}

export const getDatasetInput = z.object({ id: z.uuid() });

/** Throws `NotFoundError`. */
export async function getDataset(
  db: Executor,
  { id }: z.output<typeof getDatasetInput>,
): Promise<DatasetDetail> {
  const [row] = await db.select(columns).from(datasets).where(eq(datasets.id, id));
  if (row === undefined) throw new NotFoundError("dataset", id);
  return {
    ...summary(row),
    path: datasetPath(id),
    options: row.dataset.options,
    statistics: row.dataset.statistics,
  };
}

/** A dataset whose folder can be used. */
export type ReadyDataset = typeof datasets.$inferSelect & { sha256: string };

/** Throws `NotFoundError`, or `ConflictError` for one that is not ready. */
export async function readyDataset(db: Executor, id: string): Promise<ReadyDataset> {
  const [dataset] = await db.select().from(datasets).where(eq(datasets.id, id));
  if (dataset === undefined) throw new NotFoundError("dataset", id);
  if (dataset.status === "importing") {
    throw new ConflictError(`“${dataset.name}” is still being imported; wait until it is ready.`);
  }
  if (dataset.status === "failed") {
    throw new ConflictError(`The import of “${dataset.name}” failed; try it again first.`);
  }
  // The database's check datasets_ready makes this non-null.
  return { ...dataset, sha256: dataset.sha256! };
}
