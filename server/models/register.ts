import { rm } from "node:fs/promises";
import path from "node:path";
import { and, eq, lt, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { models } from "../../db/schema.ts";
import type { ModelSource } from "../../db/stored.ts";
import { uuidv7 } from "../../db/uuid.ts";
import { resolveImportPath } from "../activations/paths.ts";
import { awaiting } from "../awaiting.ts";
import { ConflictError, NotFoundError } from "../errors.ts";
import { abandonedReason, abandonedSeconds, canceledReason } from "../row-work.ts";
import type { Services } from "../services.ts";
import { modelPath } from "./list.ts";
import type { ModelPreviewView } from "./views.ts";

/** Where a model is to be taken from. */
export const modelSourceSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("folder"),
    /** Absolute path, on the server, of a folder in Hugging Face's layout. */
    path: z.string().trim().min(1).max(4_096),
  }),
  z.strictObject({
    kind: z.literal("hub"),
    /** `owner/name`, or a name alone. */
    repo: z.string().trim().min(1).max(200),
    /** Branch, tag or commit. */
    revision: z.string().trim().min(1).max(200).default("main"),
  }),
]);

export const previewModelInput = z.object({ source: modelSourceSchema });

export const importModelInput = z.object({
  source: modelSourceSchema,
  /** Default: the folder's name, or the repository's. */
  name: z.string().trim().min(1).max(200).optional(),
});

type ImportServices = Pick<Services, "db" | "env" | "background">;

/** What an import would bring, before anything is downloaded. Throws `PathRefusedError`. */
export async function previewModelSource(
  { env }: Pick<Services, "db" | "env">,
  { source }: z.output<typeof previewModelInput>,
  _signal?: AbortSignal,
): Promise<ModelPreviewView> {
  if (source.kind === "folder") await resolveImportPath(env, source.path, "any");
  return awaiting("Looking at models");
}

/**
 * Begins to import a model and returns at once; it is `importing` until it is `ready` or `failed`, with progress and
 * reason in its row. Throws `PathRefusedError`.
 */
export async function importModelFrom(
  { db, env }: ImportServices,
  { source, name }: z.output<typeof importModelInput>,
): Promise<{ id: string }> {
  if (source.kind === "folder") await resolveImportPath(env, source.path, "any");
  const id = uuidv7();
  const stored: ModelSource = source.kind === "hub" ? { ...source, commit: null } : source;
  await db.insert(models).values({
    id,
    name: name ?? nameOf(source),
    origin: originOf(source),
    source: stored,
  });
  awaiting("Importing models");
  return { id };
}

export const modelInput = z.object({ id: z.uuid() });

/** Ends an import; what is there already stays for another try. Throws `ConflictError` when none is under way. */
export async function cancelModelImport(
  { db, background }: ImportServices,
  { id }: z.output<typeof modelInput>,
): Promise<{ id: string }> {
  const ended = await db
    .update(models)
    .set({ status: "failed", reason: canceledReason, updated_at: sql`now()` })
    .where(and(eq(models.id, id), eq(models.status, "importing")))
    .returning({ id: models.id });
  if (ended.length === 0) throw await notInState(db, id, "being imported");
  await background.cancel(`model ${id}`);
  return { id };
}

/** Tries an import again that failed, was canceled or cut; it goes on from what is there. Throws `ConflictError`. */
export async function retryModelImport(
  { db }: ImportServices,
  { id }: z.output<typeof modelInput>,
): Promise<{ id: string }> {
  awaiting("Importing models");
  const [row] = await db
    .update(models)
    .set({
      status: "importing",
      reason: null,
      progress: null,
      attempt: sql`${models.attempt} + 1`,
      updated_at: sql`now()`,
    })
    .where(and(eq(models.id, id), eq(models.status, "failed")))
    .returning();
  if (row === undefined) throw await notInState(db, id, "a failed import");
  return { id };
}

async function notInState(db: Executor, id: string, wanted: string): Promise<Error> {
  const [row] = await db
    .select({ name: models.name, status: models.status })
    .from(models)
    .where(eq(models.id, id));
  return row === undefined
    ? new NotFoundError("model", id)
    : new ConflictError(`“${row.name}” is ${row.status}, not ${wanted}.`);
}

function nameOf(source: z.output<typeof modelSourceSchema>): string {
  return (source.kind === "hub" ? source.repo : path.basename(source.path)).slice(0, 200);
}

function originOf(source: z.output<typeof modelSourceSchema>): string {
  if (source.kind === "folder") return source.path;
  return source.revision === "main" ? source.repo : `${source.repo}@${source.revision}`;
}

/** Marks imports whose process died as failed; part of the reaper's round. */
export async function failAbandonedModels(db: Executor): Promise<void> {
  await db
    .update(models)
    .set({ status: "failed", reason: abandonedReason, updated_at: sql`now()` })
    .where(
      and(
        eq(models.status, "importing"),
        lt(models.updated_at, sql`now() - make_interval(secs => ${sql.raw(String(abandonedSeconds))})`),
      ),
    );
}

/** Removes what a deletion or a try in vain left of a model. */
export async function removeModelFiles(home: string, id: string): Promise<void> {
  await rm(path.join(home, modelPath(id)), { recursive: true, force: true });
}
