import { rm } from "node:fs/promises";
import path from "node:path";
import { and, eq, isNull, lt, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { activation_sets } from "../../db/schema.ts";
import { uuidv7 } from "../../db/uuid.ts";
import { importActivationSet as importFile } from "../artifacts/activation-set.ts";
import type { Services } from "../services.ts";
import { setFolder } from "./delete.ts";
import { resolveImportPath } from "./paths.ts";

const label = z.string().trim().min(1).max(200);

/** What the user says about a file of activations. */
export const setDescriptionSchema = z.object({
  /** Default: the file's name. */
  name: label.optional(),
  /** Where in the model they were taken, e.g. `blocks.6.hook_resid_post`. */
  hook_name: label.regex(/^[\w.-]+$/, "A hook name has only letters, digits, dots, _ and -.").optional(),
  model_name: label.optional(),
  dataset_name: label.optional(),
  /** Tensor of the file; default: `activations`, or the only one there is. */
  tensor: label.optional(),
});
export type SetDescription = z.output<typeof setDescriptionSchema>;

export const importInput = setDescriptionSchema.extend({
  /** Absolute path of a safetensors file on the server. */
  path: z.string().min(1).max(4_096),
});

type ImportServices = Pick<Services, "db" | "env" | "background">;

/** Hook name of a set about which the user said nothing. */
const unnamedHook = "activations";
/** While an import lives it touches its row at least this often. */
const touchMs = 1_000;
const abandonedSeconds = 30;

/**
 * Begins to import a file by path and returns at once; the set is `importing` until it is `ready` or `failed`, with
 * progress and reason in its row. Throws `PathRefusedError`.
 */
export async function importActivationSet(
  services: ImportServices,
  { path: given, ...description }: z.output<typeof importInput>,
): Promise<{ id: string }> {
  const file = await resolveImportPath(services.env, given);
  return beginImport(services, { file, origin: given, description });
}

export interface ImportFile {
  file: string;
  /** The file as the user named it. */
  origin: string;
  description: SetDescription;
  /** Remove `file` afterwards, whatever happens. */
  temporary?: boolean;
}

export async function beginImport(services: ImportServices, source: ImportFile): Promise<{ id: string }> {
  const { db, env, background } = services;
  const { description, origin } = source;
  const id = uuidv7();
  await db.insert(activation_sets).values({
    id,
    name: description.name ?? path.basename(origin).replace(/\.safetensors$/, ""),
    hook_name: description.hook_name ?? unnamedHook,
    model_name: description.model_name ?? null,
    dataset_name: description.dataset_name ?? null,
    origin,
    tensor: description.tensor ?? null,
  });
  background.start(async (signal) => {
    try {
      await convert(db, setFolder(env.home, id), id, source, signal);
    } finally {
      if (source.temporary) await rm(source.file, { force: true });
    }
  });
  return { id };
}

async function convert(
  db: Executor,
  folder: string,
  id: string,
  source: ImportFile,
  signal: AbortSignal,
): Promise<void> {
  const row = and(eq(activation_sets.id, id), eq(activation_sets.status, "importing"));
  let progress = 0;
  const touch = () => db.update(activation_sets).set({ progress, updated_at: sql`now()` }).where(row);
  // A touch that fails is made good by the next one; the end of the import is what must be written.
  const timer = setInterval(() => void touch().catch(reportError), touchMs);
  try {
    const { name: _name, ...said } = source.description;
    const manifest = await importFile({
      file: source.file,
      folder,
      source_file_name: path.basename(source.origin),
      ...definedOnly(said),
      signal,
      onProgress: ({ tokens, n_tokens }) => {
        progress = tokens / n_tokens;
      },
    });
    clearInterval(timer);
    const written = await db
      .update(activation_sets)
      .set({
        status: "ready",
        progress: 1,
        reason: null,
        hook_name: manifest.hook_name ?? unnamedHook,
        model_name: manifest.model_name,
        dataset_name: manifest.dataset_name,
        tensor: manifest.source_tensor,
        source_dtype: manifest.source_dtype,
        n_tokens: manifest.n_tokens,
        d_in: manifest.d_in,
        bytes: manifest.bytes,
        sha256: manifest.sha256,
        mean_norm: manifest.mean_norm,
        updated_at: sql`now()`,
      })
      .where(row)
      .returning({ id: activation_sets.id });
    if (written.length === 0) await rm(folder, { recursive: true, force: true });
  } catch (error) {
    clearInterval(timer);
    const reason = error instanceof Error ? error.message : String(error);
    await db.update(activation_sets).set({ status: "failed", reason, updated_at: sql`now()` }).where(row);
  }
}

/** The entries that have a value, for options that may be absent but not undefined. */
function definedOnly(
  said: Omit<SetDescription, "name">,
): Pick<Parameters<typeof importFile>[0], "tensor" | "hook_name" | "model_name" | "dataset_name"> {
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined));
}

function reportError(error: unknown): void {
  console.error(error);
}

/** Marks imports whose process died as failed; part of the reaper's round. */
export async function failAbandonedImports(db: Executor): Promise<void> {
  await db
    .update(activation_sets)
    .set({
      status: "failed",
      reason: "The server ended during the import. Delete this set and import the file again.",
      updated_at: sql`now()`,
    })
    .where(
      and(
        eq(activation_sets.status, "importing"),
        // What is being captured is looked after with its capture.
        isNull(activation_sets.capture_id),
        lt(activation_sets.updated_at, sql`now() - make_interval(secs => ${abandonedSeconds})`),
      ),
    );
}
