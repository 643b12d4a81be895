import { and, eq, inArray, isNull, lt, or, sql } from "drizzle-orm";
import type { Executor } from "../../db/executor.ts";
import { runs, workers } from "../../db/schema.ts";
import type { RunQueue } from "../queue.ts";
import { heldStatuses, waitingStatuses } from "./state-machine.ts";
import type { RunStatus } from "./views.ts";
import { statusColumns, writeRun } from "./write.ts";

/** A worker silent for longer is taken for dead. */
export const workerSilenceSeconds = 10;
/** A run under which this many workers or trainers died in a row without a new checkpoint is given up: it probably kills them. */
export const interruptionLimit = 5;
const reapIntervalMs = 3_000;

/** The name by which a worker's sessions are known to the database. */
export const workerSession = (id: string) => `facet worker ${id}`;
/** A waiting run gets its job in the transaction that makes it wait; only one that waits longer is looked after. */
const jobPatienceSeconds = 5;

export interface ReaperOptions {
  db: Executor;
  queue: RunQueue;
  /** Further upkeep to do each time. */
  tasks?: ((db: Executor) => Promise<void>)[];
  /** Told of what went wrong in one round; the next one tries again. */
  onError(error: Error): void;
  intervalMs?: number;
}

/**
 * Every few seconds takes runs from dead workers and sees that every waiting run has a job. Any number of processes
 * may do this at once: each move is a compare-and-set.
 */
export function startReaper(options: ReaperOptions): { stop(): Promise<void> } {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  const round = async () => {
    try {
      await reapRuns(options.db, options.queue);
      await ensureJobs(options.db, options.queue);
      for (const task of options.tasks ?? []) await task(options.db);
    } catch (error) {
      if (!stopped) options.onError(error instanceof Error ? error : new Error(String(error)));
    }
  };
  let current = Promise.resolve();
  const schedule = () => {
    if (stopped) return;
    timer = setTimeout(() => {
      current = round().finally(schedule);
    }, options.intervalMs ?? reapIntervalMs);
    timer.unref();
  };
  schedule();
  return {
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await current;
    },
  };
}

/** Interrupts the runs of workers that went silent, ended, or are gone. Returns their ids. */
export async function reapRuns(db: Executor, queue: RunQueue): Promise<string[]> {
  const silent = lt(workers.heartbeat_at, sql`now() - make_interval(secs => ${workerSilenceSeconds})`);
  return interruptRuns(
    db,
    queue,
    or(isNull(workers.id), silent, sql`${workers.stopped_at} is not null`),
    (host) => `The worker${host === null ? "" : ` on ${host}`} went silent`,
  );
}

/**
 * Interrupts the runs of workers that are known to be dead, at once: for a worker that starts and finds the process
 * of another of its own host gone.
 */
export async function interruptRunsOf(
  db: Executor,
  queue: RunQueue,
  workerIds: readonly string[],
): Promise<string[]> {
  if (workerIds.length === 0) return [];
  return interruptRuns(
    db,
    queue,
    inArray(workers.id, [...workerIds]),
    (host) => `The worker${host === null ? "" : ` on ${host}`} died`,
  );
}

async function interruptRuns(
  db: Executor,
  queue: RunQueue,
  which: ReturnType<typeof or>,
  cause: (host: string | null) => string,
): Promise<string[]> {
  const orphans = await db
    .select({
      id: runs.id,
      status: runs.status,
      desired: runs.desired,
      attempt: runs.attempt,
      interruptions: runs.interruptions,
      workerId: workers.id,
      host: workers.host,
    })
    .from(runs)
    .leftJoin(workers, eq(workers.id, runs.worker_id))
    .where(and(inArray(runs.status, [...heldStatuses]), which));
  const reaped: string[] = [];
  await endSessions(
    db,
    orphans.flatMap(({ workerId }) => workerId ?? []),
  );
  for (const run of orphans) {
    const { to, reason } = fate(run, cause(run.host));
    await db.transaction(async (tx) => {
      const row = await writeRun(tx, {
        id: run.id,
        guard: and(eq(runs.status, run.status), eq(runs.attempt, run.attempt), eq(runs.desired, run.desired)),
        set: { ...statusColumns(to, reason), interruptions: run.interruptions + 1 },
        events: [{ type: "status", status: to, reason }],
      });
      if (row === null) return;
      reaped.push(run.id);
      if (to === "interrupted") await queue.enqueue(tx, run.id, row.attempt);
    });
  }
  return reaped;
}

/**
 * A worker that stands still in the middle of a transaction, or is cut off from the network there, keeps its run's row
 * locked for as long as that lasts: its sessions end first.
 */
async function endSessions(db: Executor, workerIds: readonly string[]): Promise<void> {
  if (workerIds.length === 0) return;
  const names = workerIds.map((id) => sql`${workerSession(id)}`);
  await db.execute(sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name in (${sql.join(names, sql`, `)})`);
}

function fate(
  run: { desired: "run" | "pause" | "stop"; interruptions: number },
  cause: string,
): { to: RunStatus; reason: string } {
  if (run.interruptions + 1 >= interruptionLimit) {
    return {
      to: "failed",
      reason: `${cause}, the ${interruptionLimit}th time in a row without a new checkpoint, so the run was given up. Look at the worker's log in FACET_HOME/logs, then retry.`,
    };
  }
  if (run.desired === "pause") {
    return { to: "paused", reason: `${cause} while pausing. Resuming goes on from the newest checkpoint.` };
  }
  return { to: "interrupted", reason: `${cause}. The run goes on from its newest checkpoint by itself.` };
}

/** Sends a job for every run that has waited a while; a run that has one keeps it. */
export async function ensureJobs(db: Executor, queue: RunQueue): Promise<void> {
  const waiting = await db
    .select({ id: runs.id, attempt: runs.attempt })
    .from(runs)
    .where(
      and(
        inArray(runs.status, [...waitingStatuses]),
        lt(runs.updated_at, sql`now() - make_interval(secs => ${jobPatienceSeconds})`),
      ),
    );
  for (const run of waiting) await queue.enqueue(db, run.id, run.attempt);
}
