import { and, asc, count, desc, ilike, inArray, or, type SQL, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { runs } from "../../db/schema.ts";
import { architectures } from "../../gpu/sae/architecture.ts";
import { afterMark, type Keyset, missingLast, pageMark } from "../keyset.ts";
import { runSummary, summaryColumns } from "./read.ts";
import { sourceIsOf } from "./source-live.ts";
import { type RunStatus, type RunSummary, runStatuses } from "./views.ts";

const sortFields = ["created_at", "name", "status", "fvu"] as const;

export const listInput = z
  .object({
    status: z.array(z.enum(runStatuses)).optional(),
    /** Found in name or description, ignoring case. */
    text: z.string().max(200).optional(),
    architecture: z.array(z.enum(architectures)).optional(),
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

/** A page of runs. Those without an FVU come last in either direction. */
export async function listRuns(db: Executor, input: z.output<typeof listInput>): Promise<RunList> {
  const keyset = keysetOf(input.sort);
  const { key } = keyset;
  const order = keyset.direction === "asc" ? asc : desc;
  const filters = filtersOf(input);
  const byStatus = input.status === undefined ? undefined : inArray(runs.status, input.status);
  const from = and(...filters, byStatus);
  const [rows, counted] = await Promise.all([
    db
      .select({ ...summaryColumns, key: sql<string>`(${key})::text` })
      .from(runs)
      .where(and(from, afterMark(keyset, input.cursor)))
      .orderBy(order(key), order(runs.id))
      .limit(input.limit + 1),
    db
      .select({ status: runs.status, n: count() })
      .from(runs)
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
      rows.length > input.limit && last !== undefined ? pageMark(keyset, last.key, last.run.id) : null,
    total: runStatuses.reduce((sum, status) => sum + (wanted.includes(status) ? counts[status] : 0), 0),
    counts,
  };
}

function filtersOf(input: z.output<typeof listInput>): (SQL | undefined)[] {
  const words = input.text?.trim();
  const pattern = words ? `%${words.replace(/[\\%_]/g, "\\$&")}%` : null;
  return [
    pattern === null ? undefined : or(ilike(runs.name, pattern), ilike(runs.description, pattern)),
    input.dataset === undefined ? undefined : sourceIsOf("dataset", input.dataset),
    input.model === undefined ? undefined : sourceIsOf("model", input.model),
    input.architecture === undefined
      ? undefined
      : inArray(sql`${runs.config} ->> 'architecture'`, input.architecture),
  ];
}

function keysetOf({ by, direction }: z.output<typeof listInput>["sort"]): Keyset {
  const shared = { by, direction, id: runs.id };
  switch (by) {
    case "created_at":
      // Ids sort by the time they were made, and unlike a time they never tie.
      return { ...shared, key: sql`${runs.id}`, type: "uuid" };
    case "name":
      return { ...shared, key: sql`lower(${runs.name})`, type: "text" };
    case "status":
      return { ...shared, key: sql`${runs.status}`, type: "text" };
    case "fvu":
      return { ...shared, key: missingLast(runs.fvu, direction), type: "float8" };
  }
}
