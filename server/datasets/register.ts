import path from "node:path";
import { and, eq, lt, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { datasets } from "../../db/schema.ts";
import type { DatasetSource } from "../../db/stored.ts";
import { uuidv7 } from "../../db/uuid.ts";
import { resolveImportPath } from "../activations/paths.ts";
import { awaiting } from "../awaiting.ts";
import { ConflictError, NotFoundError } from "../errors.ts";
import { abandonedReason, abandonedSeconds, canceledReason } from "../row-work.ts";
import type { Services } from "../services.ts";

/** Where a dataset is to be taken from. */
export const datasetSourceSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("path"),
    /** Absolute path, on the server, of a file or a folder of files. */
    path: z.string().trim().min(1).max(4_096),
  }),
  z.strictObject({
    kind: z.literal("hub"),
    /** `owner/name`. */
    repo: z.string().trim().min(1).max(200),
    /** Branch, tag or commit. */
    revision: z.string().trim().min(1).max(200).default("main"),
    /** Null: the repository is to say which, or has one alone. */
    config: z.string().trim().min(1).max(200).nullable().default(null),
    split: z.string().trim().min(1).max(200).nullable().default(null),
  }),
]);

const count = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER);

/** How a source is read into documents. */
const optionsSchema = z.strictObject({
  /** Null: `text`, else the only column of texts. */
  text_column: z.string().min(1).max(1_000).nullable().default(null),
  /** Null: a folder's plain texts are a document each; a single one is cut at blank lines. */
  split_on: z
    .union([
      z.enum(["file", "blank-line", "line"]),
      z.strictObject({ separator: z.string().min(1).max(1_000) }),
    ])
    .nullable()
    .default(null),
  limit_documents: count.nullable().default(null),
  limit_characters: count.nullable().default(null),
});

/** What the user says about a dataset besides its source. */
export const datasetDescriptionSchema = z.object({
  /** Default: the file's name, or the repository's. */
  name: z.string().trim().min(1).max(200).optional(),
  options: optionsSchema.prefault({}),
});

export const importDatasetInput = datasetDescriptionSchema.extend({ source: datasetSourceSchema });

type ImportServices = Pick<Services, "db" | "env" | "background">;

/**
 * Begins to import a dataset and returns at once; it is `importing` until it is `ready` or `failed`, with progress and
 * reason in its row. Throws `PathRefusedError`.
 */
export async function importDatasetFrom(
  { db, env }: ImportServices,
  { source, name, options }: z.output<typeof importDatasetInput>,
): Promise<{ id: string }> {
  if (source.kind === "path") await resolveImportPath(env, source.path, "any");
  const id = uuidv7();
  const stored: DatasetSource = source.kind === "hub" ? { ...source, commit: null } : source;
  await db.insert(datasets).values({
    id,
    name: name ?? (source.kind === "hub" ? source.repo : path.basename(source.path)),
    origin: source.kind === "hub" ? source.repo : source.path,
    source: stored,
    options,
  });
  awaiting("Importing datasets");
  return { id };
}

export const datasetInput = z.object({ id: z.uuid() });

/** Ends an import; what is there already stays for another try. Throws `ConflictError` when none is under way. */
export async function cancelDatasetImport(
  { db, background }: ImportServices,
  { id }: z.output<typeof datasetInput>,
): Promise<{ id: string }> {
  const ended = await db
    .update(datasets)
    .set({ status: "failed", reason: canceledReason, updated_at: sql`now()` })
    .where(and(eq(datasets.id, id), eq(datasets.status, "importing")))
    .returning({ id: datasets.id });
  if (ended.length === 0) throw await notInState(db, id, "being imported");
  await background.cancel(`dataset ${id}`);
  return { id };
}

/** Tries an import again that failed, was canceled or cut; it goes on from what is there. Throws `ConflictError`. */
export async function retryDatasetImport(
  { db }: ImportServices,
  { id }: z.output<typeof datasetInput>,
): Promise<{ id: string }> {
  awaiting("Importing datasets");
  const [row] = await db
    .update(datasets)
    .set({
      status: "importing",
      reason: null,
      progress: null,
      attempt: sql`${datasets.attempt} + 1`,
      updated_at: sql`now()`,
    })
    .where(and(eq(datasets.id, id), eq(datasets.status, "failed")))
    .returning();
  if (row === undefined) throw await notInState(db, id, "a failed import");
  return { id };
}

async function notInState(db: Executor, id: string, wanted: string): Promise<Error> {
  const [row] = await db
    .select({ name: datasets.name, status: datasets.status })
    .from(datasets)
    .where(eq(datasets.id, id));
  return row === undefined
    ? new NotFoundError("dataset", id)
    : new ConflictError(`“${row.name}” is ${row.status}, not ${wanted}.`);
}

/** Marks imports whose process died as failed; part of the reaper's round. */
export async function failAbandonedDatasets(db: Executor): Promise<void> {
  await db
    .update(datasets)
    .set({ status: "failed", reason: abandonedReason, updated_at: sql`now()` })
    .where(
      and(
        eq(datasets.status, "importing"),
        lt(datasets.updated_at, sql`now() - make_interval(secs => ${sql.raw(String(abandonedSeconds))})`),
      ),
    );
}
