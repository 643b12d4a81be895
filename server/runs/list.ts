import { and, asc, count, desc, eq, ilike, inArray, or, type SQL, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { activation_sets, runs } from "../../db/schema.ts";
import { InvalidInputError } from "../errors.ts";
import { runSummary, summaryColumns } from "./read.ts";
import { type RunStatus, type RunSummary, runStatuses } from "./views.ts";

const sortFields = ["created_at", "name", "status", "fvu"] as const;
export type RunSortField = (typeof sortFields)[number];

export const listInput = z
  .object({
    status: z.array(z.enum(runStatuses)).optional(),
    /** Found in name or description, ignoring case. */
    text: z.string().max(200).optional(),
    dataset: z.string().optional(),
    model: z.string().optional(),
    sort: z
      .object({ by: z.enum(sortFields), direction: z.enum(["asc", "desc"]) })
      .default({ by: "created_at", direction: "desc" }),
    cursor: z.string().nullish(),
    limit: z.number().int().min(1).max(200).default(50),
  })
  .prefault({});

export interface RunList {
  items: RunSummary[];
  next_cursor: string | null;
  /** Runs that match all filters, on all pages. */
  total: number;
  /** Runs by status that match all filters but the one by status. */
  counts: Record<RunStatus, number>;
}

const cursorSchema = z.strictObject({
  by: z.enum(sortFields),
  direction: z.enum(["asc", "desc"]),
  value: z.string(),
  id: z.uuid(),
});

/**
 * A page of runs. Pages follow each other by key, not by count: a run made meanwhile neither repeats nor hides
 * another. Runs without an FVU come last in either direction.
 */
export async function listRuns(db: Executor, input: z.output<typeof listInput>): Promise<RunList> {
  const { sort } = input;
  const key = sortKey(sort);
  const order = sort.direction === "asc" ? asc : desc;
  const filters = filtersOf(input);
  const byStatus = input.status === undefined ? undefined : inArray(runs.status, input.status);
  const from = and(...filters, byStatus);
  const [rows, counted] = await Promise.all([
    db
      .select({ ...summaryColumns, key: sql<string>`(${key})::text` })
      .from(runs)
      .leftJoin(activation_sets, eq(activation_sets.id, runs.activation_set_id))
      .where(and(from, after(sort, key, input.cursor)))
      .orderBy(order(key), order(runs.id))
      .limit(input.limit + 1),
    db
      .select({ status: runs.status, n: count() })
      .from(runs)
      .leftJoin(activation_sets, eq(activation_sets.id, runs.activation_set_id))
      .where(and(...filters))
      .groupBy(runs.status),
  ]);
  const counts = Object.fromEntries(runStatuses.map((status) => [status, 0])) as Record<RunStatus, number>;
  for (const { status, n } of counted) counts[status] = n;
  const wanted = input.status ?? runStatuses;
  const page = rows.slice(0, input.limit);
  const last = page.at(-1);
  return {
    items: page.map(runSummary),
    next_cursor:
      rows.length > input.limit && last !== undefined
        ? Buffer.from(
            JSON.stringify({ ...sort, value: last.key, id: last.run.id } satisfies z.input<
              typeof cursorSchema
            >),
          ).toString("base64url")
        : null,
    total: runStatuses.reduce((sum, status) => sum + (wanted.includes(status) ? counts[status] : 0), 0),
    counts,
  };
}

function filtersOf(input: z.output<typeof listInput>): (SQL | undefined)[] {
  const words = input.text?.trim();
  const pattern = words ? `%${words.replace(/[\\%_]/g, "\\$&")}%` : null;
  return [
    pattern === null ? undefined : or(ilike(runs.name, pattern), ilike(runs.description, pattern)),
    input.dataset === undefined ? undefined : eq(activation_sets.dataset_name, input.dataset),
    input.model === undefined ? undefined : eq(activation_sets.model_name, input.model),
  ];
}

type Sort = z.output<typeof listInput>["sort"];

function sortKey(sort: Sort): SQL {
  switch (sort.by) {
    case "created_at":
      // Ids sort by the time they were made, and unlike a time they never tie.
      return sql`${runs.id}`;
    case "name":
      return sql`lower(${runs.name})`;
    case "status":
      return sql`${runs.status}`;
    case "fvu":
      // PostgreSQL sorts NaN above every number.
      return sort.direction === "asc"
        ? sql`coalesce(${runs.fvu}, 'NaN'::float8)`
        : sql`coalesce(${runs.fvu}, '-Infinity'::float8)`;
  }
}

const keyTypes: Record<RunSortField, SQL> = {
  created_at: sql`uuid`,
  name: sql`text`,
  status: sql`text`,
  fvu: sql`float8`,
};

function after(sort: Sort, key: SQL, cursor: string | null | undefined): SQL | undefined {
  if (cursor === null || cursor === undefined) return undefined;
  const fault = new InvalidInputError([
    { path: "cursor", message: "This page mark is not one of this list; start again from the first page." },
  ]);
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
  } catch {
    throw fault;
  }
  const parsed = cursorSchema.safeParse(json);
  if (!parsed.success || parsed.data.by !== sort.by || parsed.data.direction !== sort.direction) throw fault;
  const { value, id } = parsed.data;
  if (sort.by === "fvu" && Number.isNaN(Number(value)) && value !== "NaN") throw fault;
  if (sort.by === "created_at" && !z.uuid().safeParse(value).success) throw fault;
  const than = sort.direction === "asc" ? sql`>` : sql`<`;
  return sql`(${key}, ${runs.id}) ${than} (${value}::${keyTypes[sort.by]}, ${id}::uuid)`;
}
