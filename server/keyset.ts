import { type Column, type SQL, sql } from "drizzle-orm";
import { z } from "zod";
import { InvalidInputError } from "./errors.ts";

// Pages that follow each other by key, not by count: a row made meanwhile neither repeats nor hides another.

/** What a list is sorted by, with the row's id for ties. */
export interface Keyset {
  /** Names the order; a page mark of another one is refused. */
  by: string;
  direction: "asc" | "desc";
  key: SQL;
  type: "uuid" | "text" | "float8";
  id: Column;
}

const cursorSchema = z.strictObject({
  by: z.string(),
  direction: z.enum(["asc", "desc"]),
  value: z.string(),
  id: z.uuid(),
});

/** The mark of a page that ends with this row; `value` is the key as text. */
export function pageMark(keyset: Pick<Keyset, "by" | "direction">, value: string, id: string): string {
  const { by, direction } = keyset;
  const cursor: z.input<typeof cursorSchema> = { by, direction, value, id };
  return Buffer.from(JSON.stringify(cursor)).toString("base64url");
}

/** The condition for what comes after a mark. Throws `InvalidInputError` for one that is not of this order. */
export function afterMark(keyset: Keyset, cursor: string | null | undefined): SQL | undefined {
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
  if (!parsed.success || parsed.data.by !== keyset.by || parsed.data.direction !== keyset.direction)
    throw fault;
  const { value, id } = parsed.data;
  if (keyset.type === "float8" && Number.isNaN(Number(value)) && value !== "NaN") throw fault;
  if (keyset.type === "uuid" && !z.uuid().safeParse(value).success) throw fault;
  const than = keyset.direction === "asc" ? sql`>` : sql`<`;
  return sql`(${keyset.key}, ${keyset.id}) ${than} (${value}::${sql.raw(keyset.type)}, ${id}::uuid)`;
}

/**
 * A number to sort by where a row may have none: those come last in either direction. PostgreSQL sorts NaN above every
 * number.
 */
export function missingLast(value: SQL | Column, direction: "asc" | "desc"): SQL {
  return direction === "asc"
    ? sql`coalesce(${value}, 'NaN'::float8)`
    : sql`coalesce(${value}, '-Infinity'::float8)`;
}
