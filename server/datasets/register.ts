import { access, rename, rm } from "node:fs/promises";
import path from "node:path";
import { and, eq, lt, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { datasets } from "../../db/schema.ts";
import type { DatasetSource } from "../../db/stored.ts";
import { uuidv7 } from "../../db/uuid.ts";
import { resolveImportPath } from "../activations/paths.ts";
import { namesIn } from "../artifacts/aside.ts";
import type { Environment } from "../environment.ts";
import { ConflictError, NotFoundError } from "../errors.ts";
import { hubOptions } from "../hub/hub-options.ts";
import { abandonedReason, abandonedSeconds, canceledReason, startRowWork } from "../row-work.ts";
import { sampleFiles } from "../sample/files.ts";
import type { Services } from "../services.ts";
import { importDataset } from "./import.ts";
import { keptUpload } from "./kept-upload.ts";
import { datasetPath } from "./list.ts";
import { type DatasetManifest, manifestFile, readDatasetManifest } from "./manifest.ts";
import { type DatasetSource as ImportSource, importOptionsSchema } from "./options.ts";

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

/** What the user says about a dataset besides its source. */
export const datasetDescriptionSchema = z.object({
  /** Default: the file's name, or the repository's. */
  name: z.string().trim().min(1).max(200).optional(),
  options: importOptionsSchema.omit({ name: true }).prefault({}),
});

export const importDatasetInput = datasetDescriptionSchema.extend({ source: datasetSourceSchema });

type ImportServices = Pick<Services, "db" | "env" | "background">;

/**
 * Begins to import a dataset and returns at once; it is `importing` until it is `ready` or `failed`, with progress and
 * reason in its row. Throws `PathRefusedError`.
 */
export async function importDatasetFrom(
  services: ImportServices,
  { source, name, options }: z.output<typeof importDatasetInput>,
): Promise<{ id: string }> {
  if (source.kind === "path") await resolveImportPath(services.env, source.path, "any");
  const origin = source.kind === "hub" ? source.repo : source.path;
  const usual = source.kind === "hub" ? source.repo : path.basename(source.path);
  return register(services, {
    name: name ?? usual.slice(0, 200),
    origin,
    source: source.kind === "hub" ? { ...source, commit: null } : source,
    options,
  });
}

/** The same for the text that comes with the project. */
export async function importSampleDataset(services: ImportServices): Promise<{ id: string }> {
  const options = importOptionsSchema.omit({ name: true }).parse({});
  const { name } = sampleFiles.text;
  return register(services, { name, origin: "comes with Facet", source: { kind: "sample" }, options });
}

export interface DatasetUpload {
  /** Where the upload stands; it becomes the dataset's and goes once it was read, or with the dataset. */
  file: string;
  /** As the user called it. */
  file_name: string;
  description: z.output<typeof datasetDescriptionSchema>;
}

/** The same for a file that was uploaded. */
export async function importUploadedDataset(
  services: ImportServices,
  { file, file_name, description: { name, options } }: DatasetUpload,
): Promise<{ id: string }> {
  const source: DatasetSource = { kind: "upload", file_name };
  const usual = file_name.slice(0, 200);
  return register(services, { name: name ?? usual, origin: file_name, source, options }, (id) =>
    rename(file, keptUpload(services.env.home, id, file_name)),
  );
}

async function register(
  services: ImportServices,
  values: Pick<DatasetRow, "name" | "origin" | "source" | "options">,
  prepare?: (id: string) => Promise<void>,
): Promise<{ id: string }> {
  const [row] = await services.db
    .insert(datasets)
    .values({ id: uuidv7(), ...values })
    .returning();
  await prepare?.(row!.id);
  begin(services, row!);
  return { id: row!.id };
}

type DatasetRow = typeof datasets.$inferSelect;

function begin({ db, env, background }: ImportServices, row: DatasetRow): void {
  const { id, attempt, name, source, options } = row;
  const folder = path.join(env.home, datasetPath(id));
  const mine = and(eq(datasets.id, id), eq(datasets.status, "importing"), eq(datasets.attempt, attempt));
  startRowWork<DatasetManifest>({
    background,
    key: workKey(id),
    async work(signal, report) {
      // A server that ended between the folder's name and the row's last write left a whole dataset.
      if (await isThere(folder)) return readDatasetManifest(folder);
      return importDataset({
        source: await sourceOf(env, row),
        folder,
        options: { ...options, name },
        hub: hubOptions(env),
        signal,
        onProgress: ({ stage, bytes, total_bytes, documents }) =>
          report({
            stage,
            done: bytes,
            total: total_bytes,
            unit: "bytes",
            note: `${documents.toLocaleString("en")} documents`,
          }),
      });
    },
    async write(columns) {
      const rows = await db
        .update(datasets)
        .set({ ...columns, updated_at: sql`now()` })
        .where(mine)
        .returning({ id: datasets.id });
      return rows.length > 0;
    },
    async finish(manifest) {
      const { n_documents, n_characters, bytes, sha256, lengths, n_empty, duplicates, columns, limited } =
        manifest;
      const rows = await db
        .update(datasets)
        .set({
          status: "ready",
          progress: null,
          reason: null,
          source: asImported(source, manifest),
          n_documents,
          n_characters,
          bytes,
          sha256,
          statistics: { lengths, n_empty, duplicates, columns, limited },
          updated_at: sql`now()`,
        })
        .where(mine)
        .returning({ id: datasets.id });
      if (rows.length === 0) return false;
      if (source.kind === "upload") await rm(keptUpload(env.home, id, source.file_name), { force: true });
      return true;
    },
    discard: () => rm(folder, { recursive: true, force: true }),
  });
}

async function isThere(folder: string): Promise<boolean> {
  return (await namesIn(folder)).includes(manifestFile);
}

async function sourceOf(
  env: Environment,
  { id, source }: Pick<DatasetRow, "id" | "source">,
): Promise<ImportSource> {
  switch (source.kind) {
    case "hub": {
      const { repo, config, split, revision } = source;
      return { kind: "hub", repo, config, split, revision };
    }
    case "path":
      return { kind: "path", path: await resolveImportPath(env, source.path, "any") };
    case "upload": {
      const { file_name } = source;
      const file = keptUpload(env.home, id, file_name);
      await access(file).catch(() => {
        const words = "is not here any more. Delete this dataset, and upload the file again.";
        throw new ConflictError(`The uploaded ${file_name} ${words}`);
      });
      return { kind: "path", path: file, shown_as: file_name };
    }
    case "sample":
      return { kind: "path", path: sampleFiles.text.file };
  }
}

/** What was left open of a hub's source, as it was found there. */
function asImported(source: DatasetSource, { source: found }: DatasetManifest): DatasetSource {
  if (source.kind !== "hub" || found.kind !== "hub") return source;
  const { config, split, commit } = found;
  return { ...source, config, split, commit };
}

const workKey = (id: string) => `dataset ${id}`;

export const datasetInput = z.object({ id: z.uuid() });

/** Ends an import; it can be tried again. Throws `ConflictError` when none is under way. */
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
  await background.cancel(workKey(id));
  return { id };
}

export const retryDatasetInput = datasetInput.extend({
  /** In place of those that the import was begun with. */
  options: importOptionsSchema.omit({ name: true }).optional(),
});

/** Tries an import again that failed, was canceled or cut. Throws `ConflictError`. */
export async function retryDatasetImport(
  services: ImportServices,
  { id, options }: z.output<typeof retryDatasetInput>,
): Promise<{ id: string }> {
  const [row] = await services.db
    .update(datasets)
    .set({
      status: "importing",
      reason: null,
      progress: null,
      attempt: sql`${datasets.attempt} + 1`,
      ...(options === undefined ? {} : { options }),
      updated_at: sql`now()`,
    })
    .where(and(eq(datasets.id, id), eq(datasets.status, "failed")))
    .returning();
  if (row === undefined) throw await notInState(services.db, id, "a failed import");
  begin(services, row);
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
