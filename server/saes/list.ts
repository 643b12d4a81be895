import { and, asc, count, desc, eq, ilike, inArray, isNotNull, isNull, or, type SQL, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { runs, saes } from "../../db/schema.ts";
import { afterMark, type Keyset, missingLast, pageMark } from "../keyset.ts";
import { saeColumns, saeFigures, saeSummary } from "./read.ts";
import type { SaeSummary } from "./views.ts";

const sortFields = ["created_at", "name", "fvu", "l0"] as const;

export const listSaesInput = z
  .object({
    /** Found in name, architecture, hook point, model or dataset, ignoring case. */
    text: z.string().max(200).optional(),
    /** trained: left by a run. */
    kind: z.enum(["trained", "imported"]).optional(),
    architecture: z.array(z.string().max(100)).optional(),
    sort: z
      .object({ by: z.enum(sortFields), direction: z.enum(["asc", "desc"]) })
      .default({ by: "created_at", direction: "desc" }),
    cursor: z.string().nullish(),
    limit: z.number().int().min(1).max(200).default(50),
  })
  .prefault({});

export interface SaeList {
  items: SaeSummary[];
  next_cursor: string | null;
  /** SAEs that match, on all pages. */
  total: number;
}

/** A page of SAEs. Those without an FVU or L0 come last in either direction. */
export async function listSaes(db: Executor, input: z.output<typeof listSaesInput>): Promise<SaeList> {
  const keyset = keysetOf(input.sort);
  const order = keyset.direction === "asc" ? asc : desc;
  const filters = and(...filtersOf(input));
  const [rows, [counted]] = await Promise.all([
    db
      .select({ ...saeColumns, key: sql<string>`(${keyset.key})::text` })
      .from(saes)
      .leftJoin(runs, eq(runs.id, saes.run_id))
      .where(and(filters, afterMark(keyset, input.cursor)))
      .orderBy(order(keyset.key), order(saes.id))
      .limit(input.limit + 1),
    db.select({ n: count() }).from(saes).where(filters),
  ]);
  const page = rows.slice(0, input.limit);
  const last = page.at(-1);
  return {
    items: page.map(saeSummary),
    next_cursor:
      rows.length > input.limit && last !== undefined ? pageMark(keyset, last.key, last.sae.id) : null,
    total: counted?.n ?? 0,
  };
}

function filtersOf({ text, kind, architecture }: z.output<typeof listSaesInput>): (SQL | undefined)[] {
  const words = text?.trim();
  const pattern = words ? `%${words.replace(/[\\%_]/g, "\\$&")}%` : null;
  const searched = [saes.name, saes.architecture, saes.hook_name, saes.model_name, saes.dataset_name];
  return [
    pattern === null ? undefined : or(...searched.map((column) => ilike(column, pattern))),
    kind === undefined ? undefined : kind === "trained" ? isNotNull(saes.run_id) : isNull(saes.run_id),
    architecture === undefined ? undefined : inArray(saes.architecture, architecture),
  ];
}

function keysetOf({ by, direction }: z.output<typeof listSaesInput>["sort"]): Keyset {
  const shared = { by, direction, id: saes.id };
  switch (by) {
    case "created_at":
      // Ids sort by the time they were made, and unlike a time they never tie.
      return { ...shared, key: sql`${saes.id}`, type: "uuid" };
    case "name":
      return { ...shared, key: sql`lower(${saes.name})`, type: "text" };
    case "fvu":
      return { ...shared, key: missingLast(saeFigures.fvu, direction), type: "float8" };
    case "l0":
      return { ...shared, key: missingLast(saeFigures.l0, direction), type: "float8" };
  }
}
