import { and, desc, eq, gt, inArray, ne, sql } from "drizzle-orm";
import type { Executor } from "../../db/executor.ts";
import {
  checkpoints,
  run_metrics,
  run_model_evaluations,
  runs,
  sae_evaluations,
  saes,
} from "../../db/schema.ts";
import type { EvaluationSubject } from "../../db/stored.ts";
import { uuidv7 } from "../../db/uuid.ts";
import type { Precision } from "../../gpu/lm/precision.ts";
import type { SaeHistograms } from "../../gpu/metrics/sae-histograms.ts";
import type { Architecture } from "../../gpu/sae/architecture.ts";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import type { SaeConfig } from "../../gpu/sae/sae.ts";
import type { StepMetrics } from "../../gpu/sae/trainer.ts";
import { ConflictError, LostLeaseError } from "../errors.ts";
import type { ModelMeasures } from "../saes/measures.ts";
import { checkpointView, runSourceOf, saeView, stepMetrics, wholeConfig } from "./read.ts";
import { readLive } from "./source-live.ts";
import { readSourceSets, type SourceSet } from "./source-sets.ts";
import { type Actor, assertLegal, heldStatuses, waitingStatuses } from "./state-machine.ts";
import type {
  CheckpointView,
  DesiredState,
  ModelEvaluationAtStep,
  RunSource,
  RunStatus,
  SaeView,
} from "./views.ts";
import { statusColumns, writeRun } from "./write.ts";

// What a worker writes. Every write names the attempt it was claimed under and happens only while that attempt
// still holds the run; otherwise `LostLeaseError`, upon which the worker drops the run and writes nothing more.

export interface Lease {
  runId: string;
  attempt: number;
}

/** All that a worker needs to train a run it has just claimed. */
export interface ClaimedRun extends Lease {
  name: string;
  config: TrainingConfig;
  source: RunSource;
  /** The source's activation sets, in order. */
  sets: SourceSet[];
  /** Of a live run: what its SAE's metadata and evaluation name. */
  live: { subject: Omit<EvaluationSubject, "hook_name">; dataset_name: string } | null;
  hook_name: string;
  total_steps: number;
  /** "stop": the run only has to be finished from its newest checkpoint. */
  desired: DesiredState;
  /** Newest first; a damaged one is skipped in favour of the next. */
  checkpoints: { id: string; step: number; path: string; sha256: string }[];
}

const held = (lease: Lease) => and(eq(runs.attempt, lease.attempt), inArray(runs.status, [...heldStatuses]));

/** Takes a waiting run for a worker; null when it is not waiting any more (taken, cancelled, deleted). */
export async function claimRun(
  db: Executor,
  runId: string,
  worker: { id: string },
): Promise<ClaimedRun | null> {
  return db.transaction(async (tx) => {
    const row = await writeRun(tx, {
      id: runId,
      guard: and(inArray(runs.status, [...waitingStatuses]), ne(runs.desired, "pause")),
      set: {
        ...statusColumns("initializing", null),
        attempt: sql`${runs.attempt} + 1`,
        worker_id: worker.id,
        started_at: sql`coalesce(${runs.started_at}, now())`,
      },
      events: [{ type: "status", status: "initializing", reason: null }],
    });
    if (row === null) return null;
    const sets = await readSourceSets(tx, runId);
    const source = runSourceOf(row, sets);
    const found = await tx
      .select({
        id: checkpoints.id,
        step: checkpoints.step,
        path: checkpoints.path,
        sha256: checkpoints.sha256,
      })
      .from(checkpoints)
      .where(eq(checkpoints.run_id, runId))
      .orderBy(desc(checkpoints.step));
    return {
      runId,
      attempt: row.attempt,
      name: row.name,
      config: wholeConfig(row.config),
      source,
      sets,
      live: source.kind === "live" ? await readLive(tx, source) : null,
      hook_name: row.hook_name,
      total_steps: row.total_steps,
      desired: row.desired,
      checkpoints: found,
    };
  });
}

/** What the user wants now of a run that a worker holds. Throws `LostLeaseError`. */
export async function desiredState(db: Executor, lease: Lease): Promise<DesiredState> {
  const [row] = await db
    .select({ desired: runs.desired })
    .from(runs)
    .where(and(eq(runs.id, lease.runId), held(lease)));
  if (row === undefined) throw new LostLeaseError(lease.runId, lease.attempt);
  return row.desired;
}

/**
 * Takes the run back to the step from which training goes on, so that all it shows is true from the first moment: what
 * was recorded of later steps may never be reached again, for the run may be stopped before. Checkpoints of later steps
 * are damaged, or the training would go on from them. `tidy` is called with the folders of all recorded checkpoints
 * while no other attempt can record one.
 */
export async function recordResume(
  db: Executor,
  lease: Lease,
  step: number,
  tidy: (recorded: string[]) => Promise<void> = nothing,
): Promise<void> {
  await db.transaction(async (tx) => {
    await lockHeld(tx, lease);
    const recorded = await tx
      .select({ path: checkpoints.path })
      .from(checkpoints)
      .where(eq(checkpoints.run_id, lease.runId));
    await tidy(recorded.map((row) => row.path));
    await tx.delete(run_metrics).where(and(eq(run_metrics.run_id, lease.runId), gt(run_metrics.step, step)));
    await tx
      .delete(run_model_evaluations)
      .where(and(eq(run_model_evaluations.run_id, lease.runId), gt(run_model_evaluations.step, step)));
    await tx.delete(checkpoints).where(and(eq(checkpoints.run_id, lease.runId), gt(checkpoints.step, step)));
    const [last] = await tx
      .select()
      .from(run_metrics)
      .where(eq(run_metrics.run_id, lease.runId))
      .orderBy(desc(run_metrics.step))
      .limit(1);
    await writeHeld(tx, lease, {
      set: { step, latest: last === undefined ? null : stepMetrics(last), fvu: last?.fvu ?? null },
      events: step > 0 ? [{ type: "progress", message: `Goes on from the checkpoint at step ${step}.` }] : [],
    });
  });
}

const nothing = () => Promise.resolve();

export async function recordMemory(
  db: Executor,
  lease: Lease,
  memory: { planned_bytes?: number; peak_bytes?: number },
): Promise<void> {
  await writeHeld(db, lease, { set: { ...memory }, events: [] });
}

/** Rows of the run's SAE; those of a step already recorded (before a crash) are overwritten. */
export async function recordMetrics(
  db: Executor,
  lease: Lease,
  rows: readonly StepMetrics[],
): Promise<{ seq: number } | null> {
  const last = rows.at(-1);
  if (last === undefined) return null;
  const peak = Math.max(...rows.map((row) => row.gpu_bytes));
  return db.transaction(async (tx) => {
    const run = await writeRun(tx, {
      id: lease.runId,
      guard: held(lease),
      set: {
        step: last.step,
        latest: last,
        fvu: last.fvu,
        peak_bytes: sql`greatest(coalesce(${runs.peak_bytes}, 0), ${peak})`,
      },
      events: [],
      metrics: rows.length,
    });
    if (run === null) throw new LostLeaseError(lease.runId, lease.attempt);
    await tx
      .insert(run_metrics)
      .values(
        rows.map((row, index) => ({
          ...row,
          run_id: lease.runId,
          hook_name: run.hook_name,
          seq: run.last_seq - rows.length + 1 + index,
        })),
      )
      .onConflictDoUpdate({
        target: [run_metrics.run_id, run_metrics.step, run_metrics.hook_name],
        set: overwriteMetrics,
      });
    return { seq: run.last_seq };
  });
}

const metricColumns = [
  "seq",
  "at",
  "tokens",
  "loss",
  "mse_loss",
  "sparsity_loss",
  "aux_loss",
  "l0",
  "explained_variance",
  "fvu",
  "dead_features",
  "grad_norm",
  "lr",
  "sparsity_coefficient",
  "tokens_per_second",
  "gpu_bytes",
] as const;
const overwriteMetrics = Object.fromEntries(
  metricColumns.map((column) => [column, sql`excluded.${sql.identifier(column)}`]),
);

/** How the SAE did in its model after a step; a step already recorded is overwritten. */
export async function recordModelEvaluation(
  db: Executor,
  lease: Lease,
  evaluation: ModelEvaluationAtStep,
): Promise<void> {
  await db.transaction(async (tx) => {
    const { hook_name } = await lockHeld(tx, lease);
    await insertAtStep(tx, lease.runId, hook_name, evaluation);
    await writeHeld(tx, lease, { set: {}, events: [{ type: "evaluation", evaluation }] });
  });
}

async function insertAtStep(
  tx: Executor,
  run_id: string,
  hook_name: string,
  { step, n_sequences, ...figures }: ModelEvaluationAtStep,
): Promise<void> {
  const values = { n_sequences, figures, at: new Date() };
  const { run_id: run, step: at, hook_name: hook } = run_model_evaluations;
  await tx
    .insert(run_model_evaluations)
    .values({ run_id, step, hook_name, ...values })
    .onConflictDoUpdate({ target: [run, at, hook], set: values });
}

/** A line in the run's log for the user: what is going on, or what he should know. */
export async function recordEvent(
  db: Executor,
  lease: Lease,
  event: { type: "progress" | "warning"; message: string },
): Promise<void> {
  await writeHeld(db, lease, { set: {}, events: [event] });
}

/**
 * A step already recorded is overwritten. `publish` puts the folder in its place, `path` (relative to FACET_HOME),
 * while the run's row is locked: an attempt that has lost the run cannot touch what a later one recorded there.
 */
export async function recordCheckpoint(
  db: Executor,
  lease: Lease,
  checkpoint: Omit<CheckpointView, "id" | "created_at"> & { path: string },
  publish: () => Promise<void> = nothing,
): Promise<CheckpointView> {
  return db.transaction(async (tx) => {
    await lockHeld(tx, lease);
    await publish();
    const values = { ...checkpoint, created_at: new Date() };
    const [row] = await tx
      .insert(checkpoints)
      .values({ id: uuidv7(), run_id: lease.runId, ...values })
      .onConflictDoUpdate({ target: [checkpoints.run_id, checkpoints.step], set: values })
      .returning();
    const view = checkpointView(row!);
    await writeHeld(tx, lease, {
      // Between two rows of metrics the checkpoint knows better how far the run is.
      set: { interruptions: 0, step: checkpoint.step },
      events: [{ type: "checkpoint", checkpoint: view }],
    });
    return view;
  });
}

/** An SAE whose folder stands on disk. */
export type RecordedSae = Omit<SaeView, "id" | "created_at"> & {
  /** As it was trained. */
  architecture: Architecture;
  config: SaeConfig;
  histograms: SaeHistograms;
  /** Of a live run: what it does in its model after its last step, on held-out sequences. */
  in_model: { step: number; subject: EvaluationSubject; precision: Precision; result: ModelMeasures } | null;
};

/** Call before the run is moved to completed or stopped. `publish` puts the folder in its place, as a checkpoint's. */
export async function recordSae(
  db: Executor,
  lease: Lease,
  { config, in_model, ...sae }: RecordedSae,
  publish: () => Promise<void> = nothing,
): Promise<SaeView> {
  return db.transaction(async (tx) => {
    await lockHeld(tx, lease);
    await publish();
    const [run] = await tx.select({ name: runs.name }).from(runs).where(eq(runs.id, lease.runId));
    const { d_in, d_out, d_sae, metadata } = config;
    const { model_name, dataset_name } = metadata;
    const now = new Date();
    const values = {
      ...sae,
      name: run!.name,
      config,
      d_in,
      d_out,
      d_sae,
      model_name,
      dataset_name,
      created_at: now,
      updated_at: now,
    };
    const [row] = await tx
      .insert(saes)
      .values({ id: uuidv7(), run_id: lease.runId, ...values })
      .onConflictDoUpdate({ target: [saes.run_id, saes.hook_name], set: values })
      .returning();
    const view = saeView(row!);
    if (in_model !== null) {
      await insertModelEvaluation(tx, row!.id, in_model);
      const { frequency: _, ...figures } = in_model.result;
      await insertAtStep(tx, lease.runId, row!.hook_name!, { step: in_model.step, ...figures });
    }
    await writeHeld(tx, lease, { set: {}, events: [{ type: "sae", sae: view }] });
    return view;
  });
}

/** The evaluation that comes with an SAE; one that an earlier try at the run's end left is of the SAE overwritten. */
async function insertModelEvaluation(
  tx: Executor,
  saeId: string,
  { subject, precision, result }: NonNullable<RecordedSae["in_model"]>,
): Promise<void> {
  await tx
    .delete(sae_evaluations)
    .where(and(eq(sae_evaluations.sae_id, saeId), eq(sae_evaluations.kind, "model")));
  const now = new Date();
  await tx.insert(sae_evaluations).values({
    id: uuidv7(),
    sae_id: saeId,
    kind: "model",
    status: "done",
    progress: 1,
    sets: [],
    subject,
    model_id: subject.model.id,
    tokenization_id: subject.tokenization.id,
    n_sequences: result.n_sequences,
    precision,
    tokens: result.n_tokens,
    result,
    started_at: now,
    ended_at: now,
  });
}

/**
 * Moves a run from one of `from` to `to` as the worker that holds `attempt`, or with a null attempt as the reaper.
 * Throws `ConflictError` for a move that the state machine forbids or when the run is in none of `from`, and
 * `LostLeaseError` when the attempt does not hold the run. An interruption while a pause was under way ends paused.
 * A move that the same attempt has made already is not made again: its confirmation may have been lost with the
 * connection. `death` counts it among the deaths without a new checkpoint. Returns the status reached.
 */
export async function transition(
  db: Executor,
  runId: string,
  attempt: number | null,
  from: readonly RunStatus[],
  to: RunStatus,
  reason: string | null = null,
  { death = false }: { death?: boolean } = {},
): Promise<RunStatus> {
  const actor: Actor = attempt === null ? "reaper" : "worker";
  return db.transaction(async (tx) => {
    const [current] = await tx
      .select({ status: runs.status, desired: runs.desired, attempt: runs.attempt })
      .from(runs)
      .where(eq(runs.id, runId))
      .for("update");
    if (current === undefined || (attempt !== null && current.attempt !== attempt)) {
      throw new LostLeaseError(runId, attempt ?? 0);
    }
    const reached = to === "interrupted" && current.desired === "pause" ? "paused" : to;
    if (!from.includes(current.status)) {
      if (attempt !== null && current.status === reached) return reached;
      if (attempt !== null && !heldStatuses.includes(current.status)) {
        throw new LostLeaseError(runId, attempt);
      }
      throw new ConflictError(
        `The run is ${current.status}, not ${from.join(" or ")}, so it cannot become ${to}.`,
      );
    }
    assertLegal(current.status, reached, actor);
    const row = await writeRun(tx, {
      id: runId,
      guard: and(eq(runs.status, current.status), eq(runs.attempt, current.attempt)),
      set: {
        ...statusColumns(reached, reason),
        ...(reached === "completed" ? { step: runs.total_steps } : {}),
        ...(death ? { interruptions: sql`${runs.interruptions} + 1` } : {}),
      },
      events: [{ type: "status", status: reached, reason }],
    });
    if (row === null) throw new LostLeaseError(runId, attempt ?? current.attempt);
    return reached;
  });
}

async function writeHeld(
  db: Executor,
  lease: Lease,
  write: Pick<Parameters<typeof writeRun>[1], "set" | "events">,
): Promise<void> {
  const row = await db.transaction((tx) => writeRun(tx, { id: lease.runId, guard: held(lease), ...write }));
  if (row === null) throw new LostLeaseError(lease.runId, lease.attempt);
}

/** Takes the run's row lock first, so that all writers of a run lock in the same order. */
async function lockHeld(tx: Executor, lease: Lease): Promise<{ hook_name: string }> {
  const [row] = await tx
    .select({ hook_name: runs.hook_name })
    .from(runs)
    .where(and(eq(runs.id, lease.runId), held(lease)))
    .for("update");
  if (row === undefined) throw new LostLeaseError(lease.runId, lease.attempt);
  return row;
}
