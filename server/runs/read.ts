import { and, asc, desc, eq, getTableColumns, gt, lte, ne, sql } from "drizzle-orm";
import type { Executor } from "../../db/executor.ts";
import { checkpoints, run_events, run_metrics, runs, type saes } from "../../db/schema.ts";
import type { Recovery } from "../../gpu/metrics/recovery.ts";
import { isTranscoder } from "../../gpu/sae/architecture.ts";
import { type TrainingConfig, trainingConfigSchema } from "../../gpu/sae/config.ts";
import { describeSparsity } from "../../gpu/sae/describe-sparsity.ts";
import type { StepMetrics } from "../../gpu/sae/trainer.ts";
import { liveName, liveOfRun } from "./source-live.ts";
import { common, type SourceSet, setsOfRun, sourceName } from "./source-sets.ts";
import { allowedControls, heldStatuses } from "./state-machine.ts";
import type { CheckpointView, LiveSourceView, RunEvent, RunSource, RunSummary, SaeView } from "./views.ts";
import type { RunRow } from "./write.ts";

// Rows to views: the one place where what the database holds takes the shape that travels.

export function runSourceOf(row: RunRow, sets: readonly { id: string }[]): RunSource {
  if (row.synthetic !== null) return { kind: "synthetic", synthetic: row.synthetic };
  const { model_id, tokenization_id, hooks, precision, eval_every_steps, eval_sequences } = row;
  // The database's check runs_live has all three or none of them.
  return model_id !== null && tokenization_id !== null && hooks !== null
    ? { kind: "live", model_id, tokenization_id, hooks, precision, eval_every_steps, eval_sequences }
    : { kind: "activation_set", activation_set_ids: sets.map(({ id }) => id) };
}

/** A stored configuration with the options that did not exist yet when it was made, at what they default to. */
export function wholeConfig(stored: TrainingConfig): TrainingConfig {
  const parsed = trainingConfigSchema.safeParse(stored);
  return parsed.success ? parsed.data : stored;
}

export function checkpointView(row: typeof checkpoints.$inferSelect): CheckpointView {
  const { run_id: _run, path: _path, created_at, ...view } = row;
  return { ...view, created_at: created_at.toISOString() };
}

type WithValues<T, K extends keyof T> = Omit<T, K> & { [P in K]: NonNullable<T[P]> };

/** Of a row that a run left. */
export function saeView(row: typeof saes.$inferSelect): SaeView {
  const { id, path, recovery, created_at } = row;
  // The database's checks saes_ready and saes_trained hold these for every SAE of a run.
  const { hook_name, bytes, sha256, evaluation } = row as WithValues<
    typeof row,
    "hook_name" | "bytes" | "sha256" | "evaluation"
  >;
  return {
    id,
    hook_name,
    path,
    bytes,
    sha256,
    evaluation,
    recovery: recovery as Recovery | null,
    created_at: created_at.toISOString(),
  };
}

export function stepMetrics(row: typeof run_metrics.$inferSelect): StepMetrics {
  const { run_id: _run, hook_name: _hook, seq: _seq, at: _at, ...metrics } = row;
  return metrics;
}

/** Steps over which the rate behind an ETA is measured. */
const etaWindowSteps = 100;

/**
 * Steps per second over the last 100 steps: the harmonic mean of the rows' token rates, since the rows stand for
 * equal numbers of tokens, over the batch size. Null while nothing has been recorded.
 */
const stepsPerSecond = sql<number | null>`(
  select count(*) / nullif(sum(1 / nullif(m.tokens_per_second, 0)), 0) / (${runs}.config ->> 'train_batch_size_tokens')::float8
  from ${run_metrics} m
  where m.run_id = ${runs}.id and m.hook_name = ${runs}.hook_name
    and m.step > ${runs}.step - ${sql.raw(String(etaWindowSteps))} and m.step <= ${runs}.step
    and ${runs}.status = 'running'
)`;

/** Columns of a query over runs alone that `runSummary` needs. */
export const summaryColumns = {
  run: getTableColumns(runs),
  sets: setsOfRun,
  live: liveOfRun,
  steps_per_second: stepsPerSecond,
};

export interface SummaryRow {
  run: RunRow;
  sets: SourceSet[];
  live: LiveSourceView | null;
  steps_per_second: number | null;
}

export function runSummary({ run, sets, live, steps_per_second }: SummaryRow): RunSummary {
  const rate = heldStatuses.includes(run.status) && run.desired === "run" ? Number(steps_per_second ?? 0) : 0;
  const config = wholeConfig(run.config);
  const { architecture, d_in, d_out, d_sae, n_hook_points } = config;
  return {
    id: run.id,
    name: run.name,
    status: run.status,
    desired: run.desired,
    source: {
      kind: run.source_kind,
      name: live === null ? sourceName(architecture, sets) : liveName(live),
      activation_sets: sets.map(({ id, name, hook_name, d_in }) => ({ id, name, hook_name, d_in })),
      live,
    },
    hook_name: run.hook_name,
    model_name: live?.model.name ?? common(sets.map(({ model_name }) => model_name)),
    dataset_name: live?.dataset.name ?? common(sets.map(({ dataset_name }) => dataset_name)),
    architecture,
    d_in,
    d_out: isTranscoder(architecture) ? (d_out ?? d_in) : d_in,
    n_hook_points: architecture === "crosscoder" ? n_hook_points : 1,
    d_sae,
    sparsity: describeSparsity(config),
    step: run.step,
    total_steps: run.total_steps,
    // Rows from before there was a penalty lack its two columns.
    latest: run.latest === null ? null : withPenalty(run.latest),
    created_at: run.created_at.toISOString(),
    started_at: run.started_at?.toISOString() ?? null,
    ended_at: run.ended_at?.toISOString() ?? null,
    eta_seconds: rate > 0 ? (run.total_steps - run.step) / rate : null,
    allowed: allowedControls(run.status, run.desired),
  };
}

function withPenalty(
  row: Omit<StepMetrics, "sparsity_loss" | "sparsity_coefficient"> & Partial<StepMetrics>,
): StepMetrics {
  return { sparsity_loss: 0, sparsity_coefficient: 0, ...row };
}

type EventRow = typeof run_events.$inferSelect;

function storedEvent(row: EventRow): RunEvent {
  // Only writeRun inserts events, and it splits a RunEvent into type and body.
  return { seq: row.seq, at: row.at.toISOString(), type: row.type, ...row.body } as RunEvent;
}

/** Events of the log, without metrics and evaluations, of which there may be as many, after a number. */
export async function readLog(
  db: Executor,
  runId: string,
  after: number,
  limit: number,
): Promise<RunEvent[]> {
  const rows = await db
    .select()
    .from(run_events)
    .where(and(eq(run_events.run_id, runId), gt(run_events.seq, after), ne(run_events.type, "evaluation")))
    .orderBy(asc(run_events.seq))
    .limit(limit);
  return rows.map(storedEvent);
}

export interface EventPage {
  events: RunEvent[];
  /** Go on after this number. */
  seq: number;
  /** False when the page was cut and more is there already. */
  complete: boolean;
}

/**
 * Everything that happened to a run after `after`, in order of number: events and metrics rows merged, neighbouring
 * metrics rows as one event. Null when the run is gone. Numbers are taken under the run's row lock, so all up to
 * the `last_seq` read first are visible to the queries after it.
 */
export async function readEvents(
  db: Executor,
  runId: string,
  after: number,
  limit: number,
): Promise<EventPage | null> {
  const [run] = await db.select({ last_seq: runs.last_seq }).from(runs).where(eq(runs.id, runId));
  if (run === undefined) return null;
  if (run.last_seq <= after) return { events: [], seq: after, complete: true };
  const [stored, metrics] = await Promise.all([
    db
      .select()
      .from(run_events)
      .where(and(eq(run_events.run_id, runId), gt(run_events.seq, after), lte(run_events.seq, run.last_seq)))
      .orderBy(asc(run_events.seq))
      .limit(limit),
    db
      .select()
      .from(run_metrics)
      .where(
        and(eq(run_metrics.run_id, runId), gt(run_metrics.seq, after), lte(run_metrics.seq, run.last_seq)),
      )
      .orderBy(asc(run_metrics.seq))
      .limit(limit),
  ]);
  // A query that came back full says nothing about what lies after its last row.
  const known = Math.min(
    run.last_seq,
    stored.length === limit ? stored.at(-1)!.seq : run.last_seq,
    metrics.length === limit ? metrics.at(-1)!.seq : run.last_seq,
  );
  const events: RunEvent[] = [];
  let next = 0;
  const takeMetricsBefore = (seq: number) => {
    const start = next;
    while (next < metrics.length && metrics[next]!.seq < seq) next++;
    if (next === start) return;
    const last = metrics[next - 1]!;
    const rows = metrics.slice(start, next).map(stepMetrics);
    events.push({ seq: last.seq, at: last.at.toISOString(), type: "metrics", rows });
  };
  for (const row of stored) {
    if (row.seq > known) break;
    takeMetricsBefore(row.seq);
    events.push(storedEvent(row));
  }
  takeMetricsBefore(known + 1);
  return { events, seq: known, complete: known === run.last_seq };
}

/** Newest first. */
export async function readCheckpoints(db: Executor, runId: string): Promise<CheckpointView[]> {
  const rows = await db
    .select()
    .from(checkpoints)
    .where(eq(checkpoints.run_id, runId))
    .orderBy(desc(checkpoints.step));
  return rows.map(checkpointView);
}
