import { and, count, desc, eq, getTableColumns, ilike, inArray, lt, or, type SQL, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { activation_sets, captures, datasets, models, tokenizations, workers } from "../../db/schema.ts";
import { captureStatuses } from "../../db/vocabulary.ts";
import { NotFoundError } from "../errors.ts";
import type { CaptureView } from "./views.ts";

export const listCapturesInput = z
  .object({
    model_id: z.uuid().optional(),
    tokenization_id: z.uuid().optional(),
    status: z.array(z.enum(captureStatuses)).optional(),
    /** Found in its name, its model's or its dataset's, ignoring case. */
    text: z.string().max(200).optional(),
    cursor: z.uuid().nullish(),
    limit: z.number().int().min(1).max(200).default(50),
  })
  .prefault({});

export interface CaptureList {
  items: CaptureView[];
  next_cursor: string | null;
  /** Captures that match, on all pages. */
  total: number;
}

// Tables in full: Drizzle leaves a column's table out where a query has only one.
const columns = {
  capture: getTableColumns(captures),
  model_name: models.name,
  tokenization_name: tokenizations.name,
  dataset: { id: datasets.id, name: datasets.name },
  worker: { id: workers.id, host: workers.host, adapter: workers.adapter },
  sets: sql<CaptureView["sets"]>`(
    select coalesce(json_agg(json_build_object('id', s.id, 'name', s.name, 'hook_name', s.hook_name, 'status', s.status)
      order by array_position(${captures}.hooks, s.hook_name)), '[]'::json)
    from ${activation_sets} s where s.capture_id = ${captures}.id
  )`,
};

interface CaptureRow {
  capture: typeof captures.$inferSelect;
  model_name: string;
  tokenization_name: string;
  dataset: { id: string; name: string };
  worker: CaptureView["worker"];
  sets: CaptureView["sets"];
}

function view({ capture, model_name, tokenization_name, dataset, worker, sets }: CaptureRow): CaptureView {
  const {
    updated_at: _updated,
    interruptions: _interruptions,
    worker_id: _worker,
    model_id,
    tokenization_id,
    created_at,
    started_at,
    ended_at,
    ...rest
  } = capture;
  return {
    ...rest,
    model: { id: model_id, name: model_name },
    tokenization: { id: tokenization_id, name: tokenization_name },
    dataset,
    worker,
    sets,
    created_at: created_at.toISOString(),
    started_at: started_at?.toISOString() ?? null,
    ended_at: ended_at?.toISOString() ?? null,
  };
}

function rowsOf(db: Executor, condition: SQL | undefined, limit: number): Promise<CaptureRow[]> {
  return db
    .select(columns)
    .from(captures)
    .innerJoin(models, eq(models.id, captures.model_id))
    .innerJoin(tokenizations, eq(tokenizations.id, captures.tokenization_id))
    .innerJoin(datasets, eq(datasets.id, tokenizations.dataset_id))
    .leftJoin(workers, eq(workers.id, captures.worker_id))
    .where(condition)
    .orderBy(desc(captures.id))
    .limit(limit);
}

/** A page of captures, newest first; pages follow each other by id, so new ones shift nothing. */
export async function listCaptures(
  db: Executor,
  input: z.output<typeof listCapturesInput>,
): Promise<CaptureList> {
  const words = input.text?.trim();
  const pattern = words ? `%${words.replace(/[\\%_]/g, "\\$&")}%` : null;
  const searched = [captures.name, models.name, datasets.name];
  const filters = and(
    input.model_id === undefined ? undefined : eq(captures.model_id, input.model_id),
    input.tokenization_id === undefined ? undefined : eq(captures.tokenization_id, input.tokenization_id),
    input.status === undefined ? undefined : inArray(captures.status, input.status),
    pattern === null ? undefined : or(...searched.map((column) => ilike(column, pattern))),
  );
  const [rows, [counted]] = await Promise.all([
    rowsOf(db, and(filters, input.cursor ? lt(captures.id, input.cursor) : undefined), input.limit + 1),
    db
      .select({ n: count() })
      .from(captures)
      .innerJoin(models, eq(models.id, captures.model_id))
      .innerJoin(tokenizations, eq(tokenizations.id, captures.tokenization_id))
      .innerJoin(datasets, eq(datasets.id, tokenizations.dataset_id))
      .where(filters),
  ]);
  const page = rows.slice(0, input.limit);
  return {
    items: page.map(view),
    next_cursor: rows.length > input.limit ? (page.at(-1)?.capture.id ?? null) : null,
    total: counted?.n ?? 0,
  };
}

export const getCaptureInput = z.object({ id: z.uuid() });

/** Throws `NotFoundError`. */
export async function getCapture(
  db: Executor,
  { id }: z.output<typeof getCaptureInput>,
): Promise<CaptureView> {
  const [row] = await rowsOf(db, eq(captures.id, id), 1);
  if (row === undefined) throw new NotFoundError("capture", id);
  return view(row);
}
