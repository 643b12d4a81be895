import path from "node:path";
import { and, count, desc, eq, getTableColumns, ilike, inArray, lt, or, type SQL, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { activation_sets, captures, datasets, models, runs, tokenizations } from "../../db/schema.ts";
import { tokenizationStatuses } from "../../db/vocabulary.ts";
import { ConflictError, NotFoundError } from "../errors.ts";
import type { TokenizationView } from "./views.ts";

export const listTokenizationsInput = z
  .object({
    dataset_id: z.uuid().optional(),
    /** Made with this model's tokenizer, or with the same one of another model. */
    model_id: z.uuid().optional(),
    status: z.array(z.enum(tokenizationStatuses)).optional(),
    /** Found in its name, its dataset's or its model's, ignoring case. */
    text: z.string().max(200).optional(),
    cursor: z.uuid().nullish(),
    limit: z.number().int().min(1).max(200).default(50),
  })
  .prefault({});

export interface TokenizationList {
  items: TokenizationView[];
  next_cursor: string | null;
  /** Tokenizations that match, on all pages. */
  total: number;
}

/** Folder of a tokenization, relative to FACET_HOME. */
export function tokenizationPath(id: string): string {
  return path.join("tokenizations", id);
}

// Tables in full: Drizzle leaves a column's table out where a query has only one.
const columns = {
  tokenization: getTableColumns(tokenizations),
  dataset_name: datasets.name,
  model_name: models.name,
  captures: sql<number>`(select count(*)::int from ${captures} u where u.tokenization_id = ${tokenizations}.id)`,
  activation_sets: sql<number>`(select count(*)::int from ${activation_sets} u where u.tokenization_id = ${tokenizations}.id)`,
  runs: sql<number>`(select count(*)::int from ${runs} u where u.tokenization_id = ${tokenizations}.id)`,
};

type TokenizationRow = {
  tokenization: typeof tokenizations.$inferSelect;
  dataset_name: string;
  model_name: string;
} & TokenizationView["uses"];

function view({ tokenization, dataset_name, model_name, ...uses }: TokenizationRow): TokenizationView {
  const { updated_at: _updated, attempt: _attempt, dataset_id, model_id, created_at, ...rest } = tokenization;
  return {
    ...rest,
    dataset: { id: dataset_id, name: dataset_name },
    model: { id: model_id, name: model_name },
    created_at: created_at.toISOString(),
    uses,
  };
}

/** A page of tokenizations, newest first; pages follow each other by id, so new ones shift nothing. */
export async function listTokenizations(
  db: Executor,
  input: z.output<typeof listTokenizationsInput>,
): Promise<TokenizationList> {
  const words = input.text?.trim();
  const pattern = words ? `%${words.replace(/[\\%_]/g, "\\$&")}%` : null;
  const searched = [tokenizations.name, datasets.name, models.name];
  const filters = and(
    input.dataset_id === undefined ? undefined : eq(tokenizations.dataset_id, input.dataset_id),
    input.model_id === undefined ? undefined : sameTokenizer(input.model_id),
    input.status === undefined ? undefined : inArray(tokenizations.status, input.status),
    pattern === null ? undefined : or(...searched.map((column) => ilike(column, pattern))),
  );
  const [rows, [counted]] = await Promise.all([
    db
      .select(columns)
      .from(tokenizations)
      .innerJoin(datasets, eq(datasets.id, tokenizations.dataset_id))
      .innerJoin(models, eq(models.id, tokenizations.model_id))
      .where(and(filters, input.cursor ? lt(tokenizations.id, input.cursor) : undefined))
      .orderBy(desc(tokenizations.id))
      .limit(input.limit + 1),
    db
      .select({ n: count() })
      .from(tokenizations)
      .innerJoin(datasets, eq(datasets.id, tokenizations.dataset_id))
      .innerJoin(models, eq(models.id, tokenizations.model_id))
      .where(filters),
  ]);
  const page = rows.slice(0, input.limit);
  return {
    items: page.map(view),
    next_cursor: rows.length > input.limit ? (page.at(-1)?.tokenization.id ?? null) : null,
    total: counted?.n ?? 0,
  };
}

function sameTokenizer(modelId: string): SQL {
  return sql`${tokenizations.tokenizer_sha256} = (select m.tokenizer_sha256 from ${models} m where m.id = ${modelId})`;
}

export const getTokenizationInput = z.object({ id: z.uuid() });

/** Throws `NotFoundError`. */
export async function getTokenization(
  db: Executor,
  { id }: z.output<typeof getTokenizationInput>,
): Promise<TokenizationView> {
  const [row] = await db
    .select(columns)
    .from(tokenizations)
    .innerJoin(datasets, eq(datasets.id, tokenizations.dataset_id))
    .innerJoin(models, eq(models.id, tokenizations.model_id))
    .where(eq(tokenizations.id, id));
  if (row === undefined) throw new NotFoundError("tokenization", id);
  return view(row);
}

/** A tokenization whose folder can be used. */
export type ReadyTokenization = typeof tokenizations.$inferSelect & {
  n_sequences: number;
  held_out_sequences: number;
  n_text_tokens: number;
  n_special_tokens: number;
  n_padding_tokens: number;
};

/** Throws `NotFoundError`, or `ConflictError` for one that is not ready. */
export async function readyTokenization(db: Executor, id: string): Promise<ReadyTokenization> {
  const [row] = await db.select().from(tokenizations).where(eq(tokenizations.id, id));
  if (row === undefined) throw new NotFoundError("tokenization", id);
  if (row.status === "tokenizing") {
    throw new ConflictError(`“${row.name}” is still being tokenized; wait until it is ready.`);
  }
  if (row.status === "failed")
    throw new ConflictError(`Tokenizing “${row.name}” failed; try it again first.`);
  // The database's check tokenizations_ready makes these non-null.
  return {
    ...row,
    n_sequences: row.n_sequences!,
    held_out_sequences: row.held_out_sequences!,
    n_text_tokens: row.n_text_tokens!,
    n_special_tokens: row.n_special_tokens!,
    n_padding_tokens: row.n_padding_tokens!,
  };
}
