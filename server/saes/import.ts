import { rm } from "node:fs/promises";
import path from "node:path";
import { and, eq, lt, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { saes } from "../../db/schema.ts";
import { uuidv7 } from "../../db/uuid.ts";
import { frequencyOfSparsity, saeHistograms } from "../../gpu/metrics/sae-histograms.ts";
import type { SaeConfig } from "../../gpu/sae/sae.ts";
import { resolveImportPath } from "../activations/paths.ts";
import { InvalidInputError } from "../errors.ts";
import { importSae } from "../formats/convert.ts";
import { type Inspection, inspectFolder } from "../formats/inspect.ts";
import { readSaeFolder } from "../formats/sae-folder.ts";
import type { Services } from "../services.ts";
import { saePath } from "./delete.ts";

const location = z.string().trim().min(1).max(4_096);

export const inspectInput = z.object({
  /** Absolute path of a file or folder on the server. */
  path: location,
});

/** What a file or folder on the server holds. Throws `PathRefusedError`, `SaeFormatError`. */
export async function inspectPath(
  services: Pick<Services, "env">,
  input: z.output<typeof inspectInput>,
): Promise<Inspection> {
  return inspectFolder(await resolveImportPath(services.env, input.path, "any"));
}

export const importSaeInput = z.object({
  /** Absolute path of an SAE's file or folder on the server, in any of the known layouts. */
  path: location,
  /** Default: the last part of the path. */
  name: z.string().trim().min(1).max(200).optional(),
});

type ImportServices = Pick<Services, "db" | "env" | "background">;

/** While an import lives it touches its row at least this often. */
const touchMs = 1_000;
const abandonedSeconds = 30;

/**
 * Begins to import an SAE and returns at once; it is `importing` until it is `ready` or `failed`, with the reason in its
 * row. What is no SAE at all is refused here. Throws `PathRefusedError`, `SaeFormatError`.
 */
export async function importSaeFrom(
  { db, env, background }: ImportServices,
  { path: given, name }: z.output<typeof importSaeInput>,
): Promise<{ id: string }> {
  const source = await resolveImportPath(env, given, "any");
  const found = await inspectFolder(source);
  if (found.kind !== "sae") throw notAnSae(given, found);
  const id = uuidv7();
  await db.insert(saes).values({
    id,
    name: name ?? nameOf(given),
    status: "importing",
    origin: given,
    format: found.format,
    path: saePath(id),
    ...columnsOf(found.config),
  });
  background.start(() => convert(db, env.home, id, source));
  return { id };
}

async function convert(db: Executor, home: string, id: string, source: string): Promise<void> {
  const row = and(eq(saes.id, id), eq(saes.status, "importing"));
  const touch = () => db.update(saes).set({ updated_at: sql`now()` }).where(row);
  // A touch that fails is made good by the next one; the end of the import is what must be written.
  const timer = setInterval(() => void touch().catch(reportError), touchMs);
  const folder = path.join(home, saePath(id));
  try {
    const { config, written } = await importSae(source, folder);
    // Read again from where it stands now, which is also the proof that it can be read.
    const { sae, sparsity } = await readSaeFolder(folder);
    const histograms = saeHistograms(sae, sparsity === null ? null : frequencyOfSparsity(sparsity));
    clearInterval(timer);
    const { bytes, sha256 } = written;
    const kept = await db
      .update(saes)
      .set({
        status: "ready",
        reason: null,
        ...columnsOf(config),
        bytes,
        sha256,
        histograms,
        updated_at: sql`now()`,
      })
      .where(row)
      .returning({ id: saes.id });
    if (kept.length === 0) await rm(folder, { recursive: true, force: true });
  } catch (error) {
    clearInterval(timer);
    await rm(folder, { recursive: true, force: true });
    const reason = error instanceof Error ? error.message : String(error);
    await db.update(saes).set({ status: "failed", reason, updated_at: sql`now()` }).where(row);
  }
}

function columnsOf(config: SaeConfig) {
  const { d_in, d_out, d_sae, metadata } = config;
  const { hook_name, model_name, dataset_name } = metadata;
  return { architecture: trainedAs(config), hook_name, model_name, dataset_name, d_in, d_out, d_sae, config };
}

/** As it was trained: what its hook points say, else its own word for it, else what its function is called. */
function trainedAs({ activation, transcoder, skip, n_hook_points, metadata }: SaeConfig): string {
  if (n_hook_points > 1) return "crosscoder";
  if (transcoder) return skip ? "skip_transcoder" : "transcoder";
  return metadata.training_architecture ?? (activation === "relu" ? "standard" : activation);
}

/** The last part of a path that says something: the folder, for a file whose name every SAE of the layout has. */
function nameOf(given: string): string {
  const parts = given.split("/").filter((part) => part !== "");
  const usual = /^(sae_weights\.safetensors|sae\.safetensors|cfg\.json|ae\.pt|params\.(npz|safetensors))$/;
  const last = parts.at(-1) ?? given;
  return (usual.test(last) ? (parts.at(-2) ?? last) : last.replace(/\.(pth?|npz|safetensors)$/, "")).slice(
    0,
    200,
  );
}

const kinds: Record<Exclude<Inspection["kind"], "sae">, string> = {
  checkpoint: "a training checkpoint; name the SAE that its run left",
  run: "a run; name one of the folders in its sae folder",
  activation_set: "an activation set",
  safetensors: "a safetensors file that is not an SAE's; import it under Activations if it holds activations",
};

function notAnSae(given: string, found: Exclude<Inspection, { kind: "sae" }>): InvalidInputError {
  return new InvalidInputError([{ path: "path", message: `${given} is ${kinds[found.kind]}.` }]);
}

function reportError(error: unknown): void {
  console.error(error instanceof Error ? error.message : error);
}

/** Marks imports whose process died as failed; part of the reaper's round. */
export async function failAbandonedSaeImports(db: Executor): Promise<void> {
  await db
    .update(saes)
    .set({
      status: "failed",
      reason: "The server ended during the import. Delete this SAE and import it again.",
      updated_at: sql`now()`,
    })
    .where(
      and(
        eq(saes.status, "importing"),
        lt(saes.updated_at, sql`now() - make_interval(secs => ${sql.raw(String(abandonedSeconds))})`),
      ),
    );
}
