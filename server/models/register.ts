import { rm } from "node:fs/promises";
import path from "node:path";
import { and, desc, eq, lt, ne, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { models } from "../../db/schema.ts";
import type { ModelSource } from "../../db/stored.ts";
import { uuidv7 } from "../../db/uuid.ts";
import type { ModelSpec } from "../../gpu/lm/model-spec.ts";
import { resolveImportPath } from "../activations/paths.ts";
import type { Environment } from "../environment.ts";
import { ConflictError, NotFoundError } from "../errors.ts";
import { hubOptions } from "../hub/hub-options.ts";
import { abandonedReason, abandonedSeconds, canceledReason, startRowWork } from "../row-work.ts";
import { sampleFiles } from "../sample/files.ts";
import type { Services } from "../services.ts";
import { type ModelSource as ImportSource, importModel } from "./import.ts";
import { modelPath } from "./list.ts";
import { type ModelManifest, readModelManifest } from "./manifest.ts";
import { openModelFolder, tokenizerFile } from "./model-folder.ts";
import { previewModel } from "./preview.ts";
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

/**
 * What an import would bring, before any weight is copied. Throws `PathRefusedError`, `HubError`, and `ModelFolderError`
 * where there is no such folder.
 */
export async function previewModelSource(
  { db, env }: Pick<Services, "db" | "env">,
  { source }: z.output<typeof previewModelInput>,
  signal: AbortSignal = new AbortController().signal,
): Promise<ModelPreviewView> {
  const preview = await previewModel(await resolved(env, source), hubOptions(env), signal);
  const [existing] = await db
    .select({ id: models.id, name: models.name })
    .from(models)
    .where(and(eq(models.origin, originOf(source)), ne(models.status, "failed")))
    .orderBy(desc(models.id))
    .limit(1);
  return { ...preview, existing: existing ?? null };
}

/**
 * Begins to import a model and returns at once; it is `importing` until it is `ready` or `failed`, with progress and
 * reason in its row. Throws `PathRefusedError`.
 */
export async function importModelFrom(
  services: ImportServices,
  { source, name }: z.output<typeof importModelInput>,
): Promise<{ id: string }> {
  await resolved(services.env, source);
  const id = uuidv7();
  const [row] = await services.db
    .insert(models)
    .values({
      id,
      name: name ?? nameOf(source),
      origin: originOf(source),
      source: source.kind === "hub" ? { ...source, commit: null } : source,
    })
    .returning();
  begin(services, row!);
  return { id };
}

/** Begins to import the model that comes with the project. */
export async function importSampleModel(services: ImportServices): Promise<{ id: string }> {
  const { name } = sampleFiles.model;
  const [row] = await services.db
    .insert(models)
    .values({ id: uuidv7(), name, origin: sampleOrigin, source: { kind: "sample" } })
    .returning();
  begin(services, row!);
  return { id: row!.id };
}

/** Where the files are, as the importer takes it. Throws `PathRefusedError`. */
async function resolved(env: Environment, source: z.output<typeof modelSourceSchema>): Promise<ImportSource> {
  if (source.kind === "hub") return source;
  return { kind: "folder", path: await resolveImportPath(env, source.path, "any") };
}

function begin({ db, env, background }: ImportServices, row: ModelRow): void {
  const { id, attempt, source } = row;
  const folder = path.join(env.home, modelPath(id));
  const mine = and(eq(models.id, id), eq(models.status, "importing"), eq(models.attempt, attempt));
  startRowWork<Imported>({
    background,
    key: workKey(id),
    async work(signal, report) {
      // A server that ended between the folder's name and the row's last write left a whole model.
      const manifest =
        (await readModelManifest(folder)) ??
        (await importModel({
          source: await sourceOf(env, source),
          folder,
          hub: hubOptions(env),
          signal,
          onProgress: ({ phase, file, bytes, total_bytes, note }) =>
            report({
              stage: phase,
              done: bytes,
              total: phase === "looking" ? null : total_bytes,
              unit: "bytes",
              note: note ?? (file === "" ? null : file),
            }),
        }));
      const opened = await openModelFolder(folder);
      await opened.close();
      return { manifest, spec: opened.spec };
    },
    async write(columns) {
      const rows = await db
        .update(models)
        .set({ ...columns, updated_at: sql`now()` })
        .where(mine)
        .returning({ id: models.id });
      return rows.length > 0;
    },
    async finish({ manifest, spec }) {
      const tokenizer = manifest.files.find((file) => file.name === tokenizerFile);
      const rows = await db
        .update(models)
        .set({
          status: "ready",
          progress: null,
          reason: null,
          source: withCommit(source, manifest),
          model_type: manifest.model_type,
          spec,
          parameters: manifest.parameters,
          bytes: manifest.bytes,
          sha256: manifest.sha256,
          has_tokenizer: tokenizer !== undefined,
          tokenizer_sha256: tokenizer?.sha256 ?? null,
          updated_at: sql`now()`,
        })
        .where(mine)
        .returning({ id: models.id });
      return rows.length > 0;
    },
    discard: () => rm(folder, { recursive: true, force: true }),
  });
}

type ModelRow = typeof models.$inferSelect;

interface Imported {
  manifest: ModelManifest;
  spec: ModelSpec;
}

async function sourceOf(env: Environment, source: ModelSource): Promise<ImportSource> {
  if (source.kind === "hub") return { kind: "hub", repo: source.repo, revision: source.revision };
  if (source.kind === "sample") {
    return { kind: "folder", path: sampleFiles.model.folder };
  }
  return resolved(env, source);
}

function withCommit(source: ModelSource, manifest: ModelManifest): ModelSource {
  return source.kind === "hub" && manifest.source.kind === "hub"
    ? { ...source, commit: manifest.source.commit }
    : source;
}

/** What the sample's rows say that they came from. */
const sampleOrigin = "comes with Facet";

const workKey = (id: string) => `model ${id}`;

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
  await background.cancel(workKey(id));
  return { id };
}

/** Tries an import again that failed, was canceled or cut; it goes on from what is there. Throws `ConflictError`. */
export async function retryModelImport(
  services: ImportServices,
  { id }: z.output<typeof modelInput>,
): Promise<{ id: string }> {
  const [row] = await services.db
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
  if (row === undefined) throw await notInState(services.db, id, "a failed import");
  begin(services, row);
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
