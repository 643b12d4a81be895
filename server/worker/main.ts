import { hostname } from "node:os";
import { and, eq, inArray, isNull, sql } from "drizzle-orm";
import { EmbeddedDatabaseError } from "../../db/embedded/errors.ts";
import { livingProcess } from "../../db/embedded/process.ts";
import { ensureDatabase } from "../../db/embedded.ts";
import { migrateDatabase } from "../../db/migrate.ts";
import { type OpenedDatabase, openDatabase } from "../../db/open.ts";
import { assertReachable, DatabaseUnreachableError } from "../../db/reach.ts";
import { workers } from "../../db/schema.ts";
import { takeSessionLock } from "../../db/session-lock.ts";
import { uuidv7 } from "../../db/uuid.ts";
import { reapCaptures, requeueCapturesOf } from "../captures/record.ts";
import { type Environment, EnvironmentError, environment } from "../environment.ts";
import { openQueue, type RunQueue } from "../queue.ts";
import { interruptRunsOf, startReaper, workerSession } from "../runs/reaper.ts";
import { openRunSignals } from "../runs/signals.ts";
import { interruptions, undoAll } from "../start/ending.ts";
import { captureOne } from "./capture-session.ts";
import { evaluateOne } from "./evaluate-session.ts";
import { GpuTurn } from "./gpu-turn.ts";
import { unableExitCode, type WorkerReport } from "./messages.ts";
import { registerWorker } from "./registration.ts";
import { trainRun } from "./run-session.ts";
import { releaseForgotten, takeRun } from "./take-run.ts";
import { probeGpu } from "./trainer.ts";

/** This machine or its settings do not let the worker work; starting it again would not help. */
class UnableError extends Error {
  override readonly name = "UnableError";
}

const sessionPatienceMs = 60_000;
/** A capture waits so long for the GPU before its job is given back. */
const busyPatienceMs = 20_000;
/** The server may notice the death of the worker before this one a moment late. */
const lockPatienceMs = 5_000;

const log = (line: string) => console.log(`${new Date().toISOString()} ${line}`);
const report = (message: WorkerReport) => process.send?.(message);
/** Undone last to first, however far the start came. */
const undo: (() => Promise<void>)[] = [];
const shutdown = interruptions({
  onFirst: () => log("Stopping: saving what is being trained."),
  onSecond: () => process.exit(130),
});

try {
  await work(environment());
} catch (error) {
  const expected = [UnableError, EnvironmentError, EmbeddedDatabaseError, DatabaseUnreachableError].some(
    (kind) => error instanceof kind,
  );
  if (!(expected && error instanceof Error)) throw error;
  console.error(error.message);
  if (error instanceof DatabaseUnreachableError) {
    // It may only be starting, so whoever keeps a worker running tries again.
    process.exitCode = 1;
  } else {
    report({ type: "unable", reason: error.message });
    process.exitCode = unableExitCode;
  }
} finally {
  await undoAll(undo);
}
process.exit();

/** Takes one run after the other until told to stop. */
async function work(env: Environment): Promise<void> {
  const url = await databaseUrl(env);
  await migrateDatabase(url);
  const workerId = uuidv7();
  const opened = openDatabase(url, { name: workerSession(workerId) });
  undo.push(opened.close);
  const { db } = opened;

  const probed = await probeGpu(env.adapter);
  if (probed.type === "failed") throw new UnableError(probed.reason);
  if (shutdown.aborted) return;
  const { capabilities, memoryBytes } = probed;
  const lock = await takeSessionLock(url, {
    key: `facet gpu ${hostname()} ${capabilities.adapter}`,
    holder: `process ${process.pid}`,
    patienceMs: lockPatienceMs,
  });
  if ("takenBy" in lock) {
    const other = lock.takenBy === null ? "" : ` (${lock.takenBy})`;
    throw new UnableError(
      `Another worker of this machine${other} already trains on ${capabilities.adapter}.`,
    );
  }
  undo.push(lock.release);

  const queue = await openQueue(url, { role: "worker", onError: (error) => log(`Queue: ${error.message}`) });
  undo.push(() => queue.close());
  await takeFromDead(opened, queue);
  const worker = await registerWorker(opened, { id: workerId, capabilities, memoryBytes }, log);
  undo.push(worker.end);
  const signals = await openRunSignals(opened.sql);
  undo.push(signals.close);

  const turn = new GpuTurn();
  let trainingRunId: string | null = null;
  const reaper = startReaper({
    db,
    queue,
    tasks: [() => releaseForgotten(db, queue, worker.id, trainingRunId), () => reapCaptures(db, queue)],
    onError: (error) => log(`Upkeep: ${error.message}`),
  });
  undo.push(reaper.stop);

  report({ type: "ready", adapter: capabilities.adapter, software: capabilities.software, memoryBytes });
  log(`Ready: ${capabilities.adapter} (${capabilities.software ? "software" : "hardware"})`);
  const tasks = { db, queue, home: env.home, adapter: env.adapter, workerId: worker.id, shutdown, log };
  const evaluations = new Set<Promise<void>>();
  await queue.workEvaluations(async ({ evaluationId }) => {
    if (shutdown.aborted) return;
    const session = evaluateOne(evaluationId, tasks).finally(() => evaluations.delete(session));
    evaluations.add(session);
    await session;
  });
  await queue.workCaptures(async ({ captureId }) => {
    // While something else has the GPU another worker may be free: the job comes again, to whoever is.
    await turn.take(async () => {
      if (!shutdown.aborted) await captureOne(captureId, tasks);
    }, busyPatienceMs);
  });
  await queue.work(async ({ runId }) => {
    // The queue forgets a job after a day, and then hands out the next one.
    await turn.take(async () => {
      if (shutdown.aborted) return;
      trainingRunId = runId;
      await trainOne(runId).finally(() => {
        trainingRunId = null;
      });
    });
  });

  async function trainOne(runId: string): Promise<void> {
    const claim = await takeRun(db, runId, worker.id);
    if (claim === null) return;
    log(`Run ${runId}, attempt ${claim.attempt}: ${claim.name}`);
    await trainRun(claim, { db, queue, signals, home: env.home, adapter: env.adapter, shutdown, log });
  }

  await new Promise<void>((resolve) => {
    if (shutdown.aborted) resolve();
    shutdown.addEventListener("abort", () => resolve());
  });
  const patience = setTimeout(() => {
    log("The training did not end in time; its run will be taken up by the next worker.");
    process.exit(1);
  }, sessionPatienceMs);
  await turn.free();
  await Promise.allSettled([...evaluations]);
  clearTimeout(patience);
}

async function databaseUrl(env: Environment): Promise<string> {
  if (env.database_url !== null) {
    await assertReachable(env.database_url);
    return env.database_url;
  }
  const embedded = await ensureDatabase(env.home);
  if (embedded.owned) undo.push(embedded.stop);
  return embedded.url;
}

/** A process of this machine that is gone needs no ten seconds of silence to be believed dead. */
async function takeFromDead({ db }: OpenedDatabase, queue: RunQueue): Promise<void> {
  const open = await db
    .select({ id: workers.id, pid: workers.pid })
    .from(workers)
    .where(and(eq(workers.host, hostname()), isNull(workers.stopped_at)));
  const dead = open
    .filter(({ pid }) => pid === process.pid || livingProcess(pid) === null)
    .map(({ id }) => id);
  if (dead.length === 0) return;
  await interruptRunsOf(db, queue, dead);
  await requeueCapturesOf(db, queue, dead);
  await db.update(workers).set({ stopped_at: sql`now()` }).where(inArray(workers.id, dead));
}
