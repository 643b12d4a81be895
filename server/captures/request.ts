import { statfs } from "node:fs/promises";
import path from "node:path";
import { and, desc, eq, inArray, isNotNull, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { activation_sets, captures, datasets, models, tokenizations, workers } from "../../db/schema.ts";
import { uuidv7 } from "../../db/uuid.ts";
import { captureDtypes } from "../../db/vocabulary.ts";
import { requireHookPoint } from "../../gpu/lm/hook-points.ts";
import { type Precision, precisions } from "../../gpu/lm/precision.ts";
import { ConflictError, type Fault, InvalidInputError, NotFoundError } from "../errors.ts";
import type { RunQueue } from "../queue.ts";
import { modelFaults, repeatedHooks, tokenizationFaults, unknownHooks } from "../runs/check-live.ts";
import { tokenizationPath } from "../tokens/list.ts";
import { readTokenSetManifest } from "../tokens/manifest.ts";
import { removeForgottenSets } from "./remove-sets.ts";
import { rowBytes, setBytes } from "./set-bytes.ts";
import type { CaptureEstimateView } from "./views.ts";

export const captureSubjectInput = z.object({
  model_id: z.uuid(),
  tokenization_id: z.uuid(),
  /** Hook points by TransformerLens' names; each becomes an activation set. */
  hooks: z.array(z.string().trim().min(1).max(200)).min(1).max(64),
  dtype: z.enum(captureDtypes).default("float16"),
  /** Of the model's weights on the GPU. */
  precision: z.enum(precisions).default("f32"),
  options: z
    .strictObject({
      /** Ids that count as special although the tokenizer does not call them so. */
      excluded_token_ids: z.array(z.number().int().min(0)).max(10_000).default([]),
      /** Sequences that go through the model together; null: what fits. */
      batch_size: z.number().int().min(1).max(4_096).nullable().default(null),
    })
    .prefault({}),
});
type CaptureSubject = z.output<typeof captureSubjectInput>;

export const createCaptureInput = captureSubjectInput.extend({
  /** Default: the model's and the dataset's name. */
  name: z.string().trim().min(1).max(200).optional(),
});

interface Subject {
  model: typeof models.$inferSelect;
  tokenization: typeof tokenizations.$inferSelect;
  dataset_name: string;
}

/** Throws `InvalidInputError` with every fault at once. */
async function subjectOf(
  db: Executor,
  { model_id, tokenization_id, hooks }: CaptureSubject,
): Promise<Subject> {
  const [[model], [found]] = await Promise.all([
    db.select().from(models).where(eq(models.id, model_id)),
    db
      .select({ tokenization: tokenizations, dataset_name: datasets.name })
      .from(tokenizations)
      .innerJoin(datasets, eq(datasets.id, tokenizations.dataset_id))
      .where(eq(tokenizations.id, tokenization_id)),
  ]);
  const faults: Fault[] = [
    ...modelFaults(model).map((message) => ({ path: "model_id", message })),
    ...tokenizationFaults(found?.tokenization, model).map((message) => ({
      path: "tokenization_id",
      message,
    })),
    ...(model?.spec ? unknownHooks(model.spec, hooks, "hooks") : []),
    ...repeatedHooks(hooks, "hooks"),
  ];
  if (faults.length > 0 || model === undefined || found === undefined) throw new InvalidInputError(faults);
  return { model, ...found };
}

/**
 * What a capture would take: bytes exactly, seconds from a rate that was measured here. Throws `InvalidInputError`, and
 * `TokenSetError` where the tokens are not as they were written.
 */
export async function estimateCapture(
  db: Executor,
  home: string,
  input: CaptureSubject,
): Promise<CaptureEstimateView> {
  return estimateOf(db, home, input, await subjectOf(db, input));
}

async function estimateOf(
  db: Executor,
  home: string,
  { hooks, dtype, precision }: CaptureSubject,
  { model, tokenization }: Subject,
): Promise<CaptureEstimateView> {
  // The checks models_ready and tokenizations_ready make these non-null.
  const spec = model.spec!;
  const tokens = tokenization.n_sequences! * tokenization.context_size;
  const manifest = await readTokenSetManifest(path.join(home, tokenizationPath(tokenization.id)));
  const sets = hooks.map((hook_name) => {
    const { width } = requireHookPoint(spec, hook_name);
    return { hook_name, width, bytes: setBytes(manifest, rowBytes({ d_in: width, dtype })) };
  });
  const rate = await measuredRate(db, model.id, precision);
  return {
    sets,
    bytes: sets.reduce((sum, set) => sum + set.bytes, 0),
    tokens,
    rows: tokenization.n_text_tokens!,
    seconds: rate === null ? null : tokens / rate.tokens_per_second,
    seconds_note:
      rate === null
        ? "No capture with this model has been measured on a worker that is alive, so the time is not known yet."
        : `From ${Math.round(rate.tokens_per_second).toLocaleString("en")} tokens/s, measured in “${rate.name}” on ${rate.adapter}.`,
    free_bytes: await freeBytes(home),
  };
}

async function freeBytes(home: string): Promise<number | null> {
  try {
    const { bavail, bsize } = await statfs(home);
    return bavail * bsize;
  } catch {
    return null;
  }
}

export interface MeasuredRate {
  tokens_per_second: number;
  adapter: string;
  /** Of the capture that it was measured in. */
  name: string;
}

/** Tokens a second of the newest capture with a model in a precision that ended on an adapter which a live worker has. */
export async function measuredRate(
  db: Executor,
  modelId: string,
  precision: Precision,
): Promise<MeasuredRate | null> {
  const alive = db
    .select({ adapter: workers.adapter })
    .from(workers)
    .where(
      and(sql`${workers.stopped_at} is null`, sql`${workers.heartbeat_at} > now() - interval '10 seconds'`),
    );
  const [row] = await db
    .select({ tokens_per_second: captures.tokens_per_second, adapter: workers.adapter, name: captures.name })
    .from(captures)
    .innerJoin(workers, eq(workers.id, captures.worker_id))
    .where(
      and(
        eq(captures.model_id, modelId),
        eq(captures.status, "done"),
        eq(captures.precision, precision),
        isNotNull(captures.tokens_per_second),
        inArray(workers.adapter, alive),
      ),
    )
    .orderBy(desc(captures.ended_at))
    .limit(1);
  if (row === undefined || row.tokens_per_second === null || row.adapter === null) return null;
  return { ...row, tokens_per_second: row.tokens_per_second, adapter: row.adapter };
}

/**
 * Makes a capture with an activation set per hook point, and asks for a worker, in one transaction. Throws
 * `InvalidInputError` with every fault at once.
 */
export async function createCapture(
  db: Executor,
  queue: RunQueue,
  home: string,
  input: z.output<typeof createCaptureInput>,
): Promise<{ id: string; activation_set_ids: string[] }> {
  const subject = await subjectOf(db, input);
  const { model, tokenization, dataset_name } = subject;
  const { sets, free_bytes: _free, ...estimate } = await estimateOf(db, home, input, subject);
  const id = uuidv7();
  const name = input.name ?? `${model.name} on ${dataset_name}`.slice(0, 200);
  const rows = sets.map(({ hook_name }) => ({
    id: uuidv7(),
    name: `${name.slice(0, 150)} ${hook_name}`.slice(0, 200),
    hook_name,
    model_name: model.name,
    dataset_name,
    model_id: model.id,
    tokenization_id: tokenization.id,
    capture_id: id,
    origin: `${model.name} on ${tokenization.name}`,
  }));
  await db.transaction(async (tx) => {
    const { model_id, tokenization_id, hooks, dtype, precision, options } = input;
    await tx
      .insert(captures)
      .values({ id, name, model_id, tokenization_id, hooks, dtype, precision, options, estimate });
    await tx.insert(activation_sets).values(rows);
    await queue.enqueueCapture(tx, id, 0);
  });
  return { id, activation_set_ids: rows.map((row) => row.id) };
}

export const captureInput = z.object({ id: z.uuid() });

const openStatuses = ["queued", "running"] as const;

/**
 * Ends a capture that waits or goes on, and takes away what it has captured so far; a worker that is at it ends by
 * itself. Throws `ConflictError`.
 */
export async function cancelCapture(
  db: Executor,
  home: string,
  { id }: z.output<typeof captureInput>,
): Promise<{ id: string }> {
  const unfinished = await db.transaction(async (tx) => {
    const [row] = await tx
      .update(captures)
      .set({ status: "canceled", ended_at: sql`now()`, updated_at: sql`now()` })
      .where(and(eq(captures.id, id), inArray(captures.status, [...openStatuses])))
      .returning({ id: captures.id });
    if (row === undefined) throw await notInState(tx, id, "waiting or under way");
    return forgetUnfinished(tx, id);
  });
  await removeForgottenSets(db, home, unfinished);
  return { id };
}

/** Tries a capture again that failed; it goes on from what is on disk. Throws `ConflictError`. */
export async function retryCapture(
  db: Executor,
  queue: RunQueue,
  { id }: z.output<typeof captureInput>,
): Promise<{ id: string }> {
  await db.transaction(async (tx) => {
    const [row] = await tx
      .update(captures)
      .set({ status: "queued", reason: null, interruptions: 0, ended_at: null, updated_at: sql`now()` })
      .where(and(eq(captures.id, id), eq(captures.status, "failed")))
      .returning({ attempt: captures.attempt });
    if (row === undefined) throw await notInState(tx, id, "failed");
    await tx
      .update(activation_sets)
      .set({ status: "importing", reason: null, updated_at: sql`now()` })
      .where(and(eq(activation_sets.capture_id, id), eq(activation_sets.status, "failed")));
    await queue.enqueueCapture(tx, id, row.attempt);
  });
  return { id };
}

/**
 * Forgets a capture that has ended: its record, and the sets that it did not bring to an end. Those that are ready stay.
 * Throws `ConflictError` while it waits or goes on.
 */
export async function deleteCapture(
  db: Executor,
  home: string,
  { id }: z.output<typeof captureInput>,
): Promise<{ id: string }> {
  const unfinished = await db.transaction(async (tx) => {
    const [row] = await tx.select().from(captures).where(eq(captures.id, id)).for("update");
    if (row === undefined) throw new NotFoundError("capture", id);
    if (row.status === "queued" || row.status === "running") {
      throw new ConflictError(`“${row.name}” is ${row.status}; cancel it first.`);
    }
    const sets = await forgetUnfinished(tx, id);
    await tx.delete(captures).where(eq(captures.id, id));
    return sets;
  });
  await removeForgottenSets(db, home, unfinished);
  return { id };
}

/** Deletes the rows of sets that are not ready; their ids. */
async function forgetUnfinished(tx: Executor, captureId: string): Promise<string[]> {
  const gone = await tx
    .delete(activation_sets)
    .where(
      and(
        eq(activation_sets.capture_id, captureId),
        inArray(activation_sets.status, ["importing", "failed"]),
      ),
    )
    .returning({ id: activation_sets.id });
  return gone.map((set) => set.id);
}

async function notInState(tx: Executor, id: string, wanted: string): Promise<Error> {
  const [row] = await tx
    .select({ name: captures.name, status: captures.status })
    .from(captures)
    .where(eq(captures.id, id));
  return row === undefined
    ? new NotFoundError("capture", id)
    : new ConflictError(`“${row.name}” is ${row.status}, not ${wanted}.`);
}
