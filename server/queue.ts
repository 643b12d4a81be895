import { sql } from "drizzle-orm";
import { fromDrizzle, type JobWithMetadata, PgBoss } from "pg-boss";
import { z } from "zod";
import type { Executor } from "../db/executor.ts";

// The queue only delivers: a job says "look at this run", "at this evaluation" or "at this capture", and a claim in its
// row decides who gets it. So a job delivered twice, late, or for a run that is gone does no harm.

const trainQueue = "train";

const evaluateQueue = "evaluate";

const captureQueue = "capture";

const trainPayloadSchema = z.strictObject({ runId: z.uuid() });
export type TrainPayload = z.output<typeof trainPayloadSchema>;

const evaluatePayloadSchema = z.strictObject({ evaluationId: z.uuid() });
export type EvaluatePayload = z.output<typeof evaluatePayloadSchema>;

const capturePayloadSchema = z.strictObject({ captureId: z.uuid() });
export type CapturePayload = z.output<typeof capturePayloadSchema>;

/** Seconds without a heartbeat after which a job counts as lost; the least that pg-boss takes. */
const jobHeartbeatSeconds = 10;

const queueOptions = {
  // At most one waiting or active job per key; a key stands for one attempt at a run.
  policy: "exclusive",
  // Only for a worker that dies between taking the job and claiming the run; runs are requeued by the reaper.
  retryLimit: 5,
  retryDelay: 1,
  heartbeatSeconds: jobHeartbeatSeconds,
  // pg-boss allows no more than a day. A longer run goes on: its job is then delivered again and finds the run held.
  expireInSeconds: 86_399,
  retentionSeconds: 31_536_000,
  deleteAfterSeconds: 86_400,
} as const;

const workOptions = {
  batchSize: 1,
  localConcurrency: 1,
  includeMetadata: true,
  pollingIntervalSeconds: 1,
  heartbeatRefreshSeconds: 3,
} as const;

export interface RunQueue {
  /**
   * Asks for a worker for the run that has had `attempt` attempts so far; part of the transaction `tx`. Does nothing
   * when such a job is there already. Small runs may overtake by a higher priority.
   */
  enqueue(tx: Executor, runId: string, attempt: number, priority?: number): Promise<void>;
  /** Removes the job of a run that was withdrawn. */
  withdraw(tx: Executor, runId: string, attempt: number): Promise<void>;
  /**
   * Takes one job at a time and awaits `handler` for it; polls once a second. The handler's error only ends the job:
   * the run's fate is in its row.
   */
  work(handler: (payload: TrainPayload, signal: AbortSignal) => Promise<void>): Promise<void>;
  /** Asks for a worker for an evaluation; part of the transaction `tx`. */
  enqueueEvaluation(tx: Executor, evaluationId: string): Promise<void>;
  /** Takes one evaluation at a time, beside the training. The handler's error only ends the job. */
  workEvaluations(handler: (payload: EvaluatePayload) => Promise<void>): Promise<void>;
  /** Asks for a worker for a capture that has had `attempt` attempts so far; part of the transaction `tx`. */
  enqueueCapture(tx: Executor, captureId: string, attempt: number): Promise<void>;
  /** Takes one capture at a time. The handler's error only ends the job. */
  workCaptures(handler: (payload: CapturePayload) => Promise<void>): Promise<void>;
  /** No more jobs are taken; resolves when the running handler has returned or after the time. */
  close(timeoutMs?: number): Promise<void>;
}

export interface OpenQueueOptions {
  /** A sender sends only; a worker also takes jobs and does the queue's upkeep. */
  role: "sender" | "worker";
  /** Where the queue's own errors go: it goes on by itself after them. */
  onError(error: Error): void;
}

const jobKey = (runId: string, attempt: number) => `${runId}:${attempt}`;

/** Opens the queue in schema `pgboss` of the same database, making it on first use. Safe to call concurrently. */
export async function openQueue(url: string, options: OpenQueueOptions): Promise<RunQueue> {
  const worker = options.role === "worker";
  const boss = new PgBoss({
    connectionString: url,
    application_name: `facet-queue-${options.role}`,
    max: worker ? 4 : 2,
    schedule: false,
    supervise: worker,
    superviseIntervalSeconds: 5,
    monitorIntervalSeconds: 5,
  });
  boss.on("error", options.onError);
  await boss.start();
  await boss.createQueue(trainQueue, queueOptions);
  await boss.createQueue(evaluateQueue, queueOptions);
  await boss.createQueue(captureQueue, queueOptions);
  return {
    async enqueue(tx, runId, attempt, priority = 0) {
      await boss.send(trainQueue, { runId } satisfies TrainPayload, {
        singletonKey: jobKey(runId, attempt),
        priority,
        db: fromDrizzle(tx, sql),
      });
    },
    async withdraw(tx, runId, attempt) {
      const db = fromDrizzle(tx, sql);
      const jobs = await boss.findJobs(trainQueue, { key: jobKey(runId, attempt), db });
      const ids = jobs.map((job) => job.id);
      if (ids.length > 0) await boss.deleteJob(trainQueue, ids, { db });
    },
    async enqueueEvaluation(tx, evaluationId) {
      await boss.send(evaluateQueue, { evaluationId } satisfies EvaluatePayload, {
        singletonKey: evaluationId,
        db: fromDrizzle(tx, sql),
      });
    },
    async workEvaluations(handler) {
      await boss.work(evaluateQueue, workOptions, async (jobs: JobWithMetadata<unknown>[]) => {
        for (const job of jobs) await handler(evaluatePayloadSchema.parse(job.data));
      });
    },
    async enqueueCapture(tx, captureId, attempt) {
      await boss.send(captureQueue, { captureId } satisfies CapturePayload, {
        singletonKey: jobKey(captureId, attempt),
        db: fromDrizzle(tx, sql),
      });
    },
    async workCaptures(handler) {
      await boss.work(captureQueue, workOptions, async (jobs: JobWithMetadata<unknown>[]) => {
        for (const job of jobs) await handler(capturePayloadSchema.parse(job.data));
      });
    },
    async work(handler) {
      await boss.work(trainQueue, workOptions, async (jobs: JobWithMetadata<unknown>[]) => {
        for (const job of jobs) await handler(trainPayloadSchema.parse(job.data), job.signal);
      });
    },
    async close(timeoutMs = 10_000) {
      await boss.stop({ graceful: true, timeout: timeoutMs });
    },
  };
}
