import { and, eq, inArray, isNull, lt, or, sql } from "drizzle-orm";
import type { Executor } from "../../db/executor.ts";
import { activation_sets, captures, workers } from "../../db/schema.ts";
import type { CaptureOptions, WorkProgress } from "../../db/stored.ts";
import type { Precision } from "../../gpu/lm/precision.ts";
import type { RunQueue } from "../queue.ts";
import { workerSilenceSeconds } from "../runs/reaper.ts";
import type { CaptureDtype } from "./views.ts";

// What a worker writes of a capture. Every write names the attempt it was claimed under and happens only while that
// attempt holds it; false says that it does not any more, and that the worker should drop it and write nothing more.

/** A capture that outlived this many workers in a row without getting further is given up: it probably kills them. */
const interruptionLimit = 5;
/** A waiting capture gets its job in the transaction that makes it wait; only one that waits longer is looked after. */
const jobPatienceSeconds = 5;

export interface ClaimedCapture {
  id: string;
  attempt: number;
  name: string;
  modelId: string;
  tokenizationId: string;
  modelName: string;
  datasetName: string;
  /** One per hook point, in the capture's order. */
  sets: { id: string; hook_name: string }[];
  dtype: CaptureDtype;
  /** Of the model's weights. */
  precision: Precision;
  options: CaptureOptions;
}

/** Takes a waiting capture for a worker; null when it is not waiting any more. */
export async function claimCapture(
  db: Executor,
  id: string,
  workerId: string,
): Promise<ClaimedCapture | null> {
  return db.transaction(async (tx) => {
    const [row] = await tx
      .update(captures)
      .set({
        status: "running",
        attempt: sql`${captures.attempt} + 1`,
        worker_id: workerId,
        reason: null,
        started_at: sql`coalesce(${captures.started_at}, now())`,
        updated_at: sql`now()`,
      })
      .where(and(eq(captures.id, id), eq(captures.status, "queued")))
      .returning();
    if (row === undefined) return null;
    const found = await tx
      .select({
        id: activation_sets.id,
        hook_name: activation_sets.hook_name,
        model_name: activation_sets.model_name,
        dataset_name: activation_sets.dataset_name,
      })
      .from(activation_sets)
      .where(eq(activation_sets.capture_id, id));
    // They are made with the capture, and cannot be deleted before it has ended.
    const sets = row.hooks.map((hook) => found.find((set) => set.hook_name === hook)!);
    return {
      id,
      attempt: row.attempt,
      name: row.name,
      modelId: row.model_id,
      tokenizationId: row.tokenization_id,
      modelName: sets[0]?.model_name ?? "",
      datasetName: sets[0]?.dataset_name ?? "",
      sets: sets.map((set) => ({ id: set.id, hook_name: set.hook_name })),
      dtype: row.dtype,
      precision: row.precision,
      options: row.options,
    };
  });
}

type Lease = Pick<ClaimedCapture, "id" | "attempt">;

/** Also the sign of life. `further`: something was captured since the claim, so the interruptions are over. */
export async function recordCaptureProgress(
  db: Executor,
  lease: Lease,
  progress: WorkProgress | null,
  further: boolean,
): Promise<boolean> {
  const mine = await write(db, lease, {
    ...(progress === null ? {} : { progress }),
    ...(further ? { interruptions: 0 } : {}),
  });
  if (!mine || progress === null || progress.total === null || progress.total === 0) return mine;
  await db
    .update(activation_sets)
    .set({ progress: Math.min(1, progress.done / progress.total), updated_at: sql`now()` })
    .where(and(eq(activation_sets.capture_id, lease.id), eq(activation_sets.status, "importing")));
  return true;
}

/** A set whose folder stands on disk. */
export interface CapturedSet {
  id: string;
  n_tokens: number;
  held_out_tokens: number;
  d_in: number;
  bytes: number;
  sha256: string;
  mean_norm: number;
  /** As it is stored: "F16" or "F32". */
  source_dtype: string;
}

/** Call after every set's folder stands on disk. */
export async function recordCaptured(
  db: Executor,
  lease: Lease,
  sets: readonly CapturedSet[],
  tokens_per_second: number | null,
): Promise<boolean> {
  return db.transaction(async (tx) => {
    const done = await write(tx, lease, {
      status: "done",
      reason: null,
      interruptions: 0,
      tokens_per_second,
      ended_at: sql`now()`,
    });
    if (!done) return false;
    for (const { id, ...set } of sets) {
      await tx
        .update(activation_sets)
        .set({ ...set, status: "ready", progress: 1, reason: null, updated_at: sql`now()` })
        .where(and(eq(activation_sets.id, id), eq(activation_sets.capture_id, lease.id)));
    }
    return true;
  });
}

export async function recordCaptureFailure(db: Executor, lease: Lease, reason: string): Promise<boolean> {
  return db.transaction(async (tx) => {
    const mine = await write(tx, lease, { status: "failed", reason, ended_at: sql`now()` });
    if (mine) await failSets(tx, lease.id, reason);
    return mine;
  });
}

/** Leaves it for the next worker, which goes on from what is on disk. */
export async function requeueCapture(db: Executor, queue: RunQueue, lease: Lease): Promise<boolean> {
  return db.transaction(async (tx) => {
    const mine = await write(tx, lease, { status: "queued", worker_id: null });
    if (mine) await queue.enqueueCapture(tx, lease.id, lease.attempt);
    return mine;
  });
}

/** Takes captures from dead workers and sees that every waiting one has a job; part of the reaper's round. */
export async function reapCaptures(db: Executor, queue: RunQueue): Promise<void> {
  const silent = lt(workers.heartbeat_at, sql`now() - make_interval(secs => ${workerSilenceSeconds})`);
  await takeCaptures(db, queue, or(isNull(workers.id), silent, sql`${workers.stopped_at} is not null`));
  const waiting = await db
    .select({ id: captures.id, attempt: captures.attempt })
    .from(captures)
    .where(
      and(
        eq(captures.status, "queued"),
        lt(captures.updated_at, sql`now() - make_interval(secs => ${jobPatienceSeconds})`),
      ),
    );
  for (const { id, attempt } of waiting) await queue.enqueueCapture(db, id, attempt);
}

/** Takes the captures of workers that are known to be dead, at once. */
export async function requeueCapturesOf(
  db: Executor,
  queue: RunQueue,
  workerIds: readonly string[],
): Promise<void> {
  if (workerIds.length > 0) await takeCaptures(db, queue, inArray(workers.id, [...workerIds]));
}

async function takeCaptures(db: Executor, queue: RunQueue, which: ReturnType<typeof or>): Promise<void> {
  const orphans = await db
    .select({ id: captures.id, attempt: captures.attempt, interruptions: captures.interruptions })
    .from(captures)
    .leftJoin(workers, eq(workers.id, captures.worker_id))
    .where(and(eq(captures.status, "running"), which));
  for (const { id, attempt, interruptions } of orphans) {
    const lease = { id, attempt };
    if (interruptions + 1 >= interruptionLimit) {
      const reason = `Its worker died, the ${interruptionLimit}th time in a row without getting further, so it was given up. Look at the worker's log in FACET_HOME/logs, then try again.`;
      await recordCaptureFailure(db, lease, reason);
      continue;
    }
    await db.transaction(async (tx) => {
      if (await write(tx, lease, { interruptions: interruptions + 1 }))
        await requeueCapture(tx, queue, lease);
    });
  }
}

async function failSets(tx: Executor, captureId: string, reason: string): Promise<void> {
  await tx
    .update(activation_sets)
    .set({ status: "failed", reason, updated_at: sql`now()` })
    .where(and(eq(activation_sets.capture_id, captureId), eq(activation_sets.status, "importing")));
}

type Columns = Parameters<ReturnType<Executor["update"]>["set"]>[0];

async function write(db: Executor, { id, attempt }: Lease, set: Columns & object): Promise<boolean> {
  const rows = await db
    .update(captures)
    .set({ ...set, updated_at: sql`now()` })
    .where(and(eq(captures.id, id), eq(captures.status, "running"), eq(captures.attempt, attempt)))
    .returning({ id: captures.id });
  return rows.length > 0;
}
