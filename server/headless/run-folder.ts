import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { type TrainingConfig, trainingConfigOptions } from "../../gpu/sae/config.ts";
import { writeWholeFile } from "../artifacts/atomic-file.ts";
import { storageError } from "../artifacts/storage-error.ts";
import { ServiceError } from "../errors.ts";

/*
 * What a training run leaves in its folder:
 *   run.json                 what it was started with, and the identity of its data
 *   [<label>/]config.json    the complete configuration of an SAE; of a sweep, each SAE has a folder of its own
 *   [<label>/]metrics.jsonl  one row of metrics a line
 *   [<label>/]checkpoints/   step_<n>/, whole states to go on from
 *   [<label>/]sae/           the SAE in SAELens' layout
 *   [<label>/]evaluation.json
 *   [<label>/]failure.json   in place of the last two where training diverged
 *   [<label>/]model-evaluations.jsonl  how it does within its language model, a line for each time it was measured
 */

const fileIdentitySchema = z.strictObject({
  name: z.string(),
  n_tokens: z.number().int(),
  width: z.number().int(),
  dtype: z.string(),
  /** Of the stored numbers. */
  sha256: z.string(),
});
const hookPointSchema = z.strictObject({
  role: z.enum(["activations", "targets"]),
  files: z.array(fileIdentitySchema),
});
/** The data, whatever its files are called or wherever they lie. */
export type HookPointIdentity = z.output<typeof hookPointSchema>;

const recordSchema = z.strictObject({
  format_version: z.literal(1),
  facet_version: z.string(),
  adapter: z.string(),
  /** Where the data was, as absolute paths. */
  activations: z.array(z.string()),
  targets: z.string().nullable(),
  tensor: z.string().nullable(),
  target_tensor: z.string().nullable(),
  /** The language model that computed it while training, in place of files; runs of before have none. */
  live: z
    .strictObject({
      model: z.string(),
      tokens: z.string(),
      hooks: z.array(z.string()).min(1),
      target_hook: z.string().nullable(),
      evaluation: z.strictObject({ every_steps: z.number().int().nullable(), n_sequences: z.number().int() }),
    })
    .nullable()
    .default(null),
  shuffle: z.boolean(),
  /** Seed of the order of the rows: one order for all SAEs of a sweep. */
  order_seed: z.number().int(),
  data: z.array(hookPointSchema),
  /** What the SAE's metadata says; null where nobody knows. */
  metadata: z.strictObject({
    model_name: z.string().nullable(),
    hook_name: z.string().nullable(),
    hook_name_out: z.string().nullable(),
    dataset_name: z.string().nullable(),
  }),
  /** Folders of a sweep's SAEs; "" is the run's own, of a run of one. */
  labels: z.array(z.string()).min(1),
});
export type RunRecord = z.output<typeof recordSchema>;

const failureSchema = z.strictObject({ step: z.number().int(), message: z.string() });
/** How training of one SAE ended, where it did not end well. */
export type RunFailure = z.output<typeof failureSchema>;

/** A folder that does not hold what a command needs, or holds what it would overwrite. */
export class RunFolderError extends ServiceError {
  override readonly name = "RunFolderError";
  constructor(message: string, cause?: unknown) {
    super("conflict", message, cause === undefined ? {} : { cause });
  }
}

const recordFile = "run.json";
const ours = [recordFile, "config.json", "metrics.jsonl", "checkpoints", "sae", "evaluation.json"];

export const saeFolderOf = (folder: string): string => path.join(folder, "sae");
/** The SAE of a run's folder, where that is given in its place; anything else as it is. */
export const saeIn = (given: string): string =>
  hasRunRecord(given) && existsSync(saeFolderOf(given)) ? saeFolderOf(given) : given;
export const modelEvaluationsFileOf = (folder: string): string =>
  path.join(folder, "model-evaluations.jsonl");
export const metricsFileOf = (folder: string): string => path.join(folder, "metrics.jsonl");
export const checkpointFolder = (folder: string, step: number): string =>
  path.join(folder, "checkpoints", `step_${step}`);

/** @throws RunFolderError when the folder already holds anything that a run would write there. */
export function refuseUsedFolder(folder: string): void {
  const found = ours.find((name) => existsSync(path.join(folder, name)));
  if (found === undefined) return;
  throw new RunFolderError(
    existsSync(path.join(folder, recordFile))
      ? `${folder} already holds a run. Go on with it by --resume ${folder}, or give another --out.`
      : `${folder} already holds a ${found}, which would be overwritten. Give another --out.`,
  );
}

/** @throws RunFolderError when there is none, or one of another version. */
export async function readRunRecord(folder: string): Promise<RunRecord> {
  const file = path.join(folder, recordFile);
  const parsed = recordSchema.safeParse(await readJson(file));
  if (parsed.success) return parsed.data;
  throw new RunFolderError(
    existsSync(file)
      ? `${file} is damaged, or was written by another version of Facet.`
      : `${folder} holds no run: there is no ${recordFile} in it.`,
    parsed.error,
  );
}

export const hasRunRecord = (folder: string): boolean => existsSync(path.join(folder, recordFile));

/** Writes the record last: with it, and only with it, the folder is a run to go on with. */
export async function beginRun(
  folder: string,
  record: RunRecord,
  configs: ReadonlyMap<string, TrainingConfig>,
): Promise<void> {
  for (const [label, config] of configs) {
    await mkdir(path.join(folder, label), { recursive: true }).catch((error: unknown) => {
      throw storageError(folder, error);
    });
    await writeJson(path.join(folder, label, "config.json"), config);
  }
  await writeJson(path.join(folder, recordFile), record);
}

/** @throws RunFolderError */
export async function readRunConfig(folder: string): Promise<TrainingConfig> {
  const file = path.join(folder, "config.json");
  const parsed = trainingConfigOptions.safeParse(await readJson(file));
  if (parsed.success) return parsed.data;
  throw new RunFolderError(`${file} is missing or damaged, so the run cannot be gone on with.`, parsed.error);
}

/** Steps of the checkpoints that stand there, newest first. */
export async function checkpointSteps(folder: string): Promise<number[]> {
  const names = await readdir(path.join(folder, "checkpoints")).catch(() => []);
  return names.flatMap((name) => /^step_(\d+)$/.exec(name)?.slice(1).map(Number) ?? []).sort((a, b) => b - a);
}

export async function readFailure(folder: string): Promise<RunFailure | null> {
  return failureSchema.safeParse(await readJson(path.join(folder, "failure.json"))).data ?? null;
}

export function writeFailure(folder: string, failure: RunFailure): Promise<void> {
  return writeJson(path.join(folder, "failure.json"), failure);
}

/** A failure of steps that are taken anew. */
export function forgetFailure(folder: string): Promise<void> {
  return rm(path.join(folder, "failure.json"), { force: true });
}

export function writeEvaluation(folder: string, evaluation: object): Promise<void> {
  return writeJson(path.join(folder, "evaluation.json"), evaluation);
}

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as unknown;
  } catch {
    return null;
  }
}

/** Whole or not at all, and on the disk when done. Throws `StorageError`. */
function writeJson(file: string, value: object): Promise<void> {
  return writeWholeFile(file, (handle) => handle.writeFile(`${JSON.stringify(value, null, 2)}\n`));
}
