import { asc, eq } from "drizzle-orm";
import { run_metrics } from "../../db/schema.ts";
import type { CreateRunInput } from "../../server/runs/check.ts";
import { createRun } from "../../server/runs/create.ts";
import { getRun } from "../../server/runs/get.ts";
import { endedStatuses } from "../../server/runs/state-machine.ts";
import type { RunDetail } from "../../server/runs/views.ts";
import type { TestServices } from "./api-server.ts";
import { type Program, startProgram, until } from "./processes.ts";

/** A worker of its own process on the services' database and home. */
export function startWorker({ services: { env } }: TestServices): Program {
  return startProgram("server/worker/main.ts", {
    DATABASE_URL: env.database_url ?? "",
    FACET_HOME: env.home,
  });
}

export const metricsEvery = 5;
export const checkpointEvery = 40;

/** Small enough for a few seconds in software, long enough (about three seconds of steps) to be cut in the middle. */
export const smallRun = {
  d_in: 16,
  d_sae: 32,
  k: 2,
  lr: 3e-3,
  train_batch_size_tokens: 32,
  training_tokens: 32 * 400,
  n_batches_for_norm_estimate: 4,
  metrics_every_steps: metricsEvery,
  checkpoint_every_steps: checkpointEvery,
};

/** Steps of a small run. */
export const smallSteps = smallRun.training_tokens / smallRun.train_batch_size_tokens;

export function smallRunInput(name: string, config: Partial<typeof smallRun> = {}): CreateRunInput {
  return {
    name,
    source: { kind: "synthetic", synthetic: { d_in: smallRun.d_in, n_features: 32 } },
    config: { ...smallRun, ...config },
  };
}

export async function createSmallRun(
  { services: { db, queue, env } }: TestServices,
  name: string,
  config: Partial<typeof smallRun> = {},
): Promise<string> {
  return (await createRun(db, queue, env.home, smallRunInput(name, config))).id;
}

/** Waits until the run is as `look` asks; shows where it stands, and the worker's output, when it never is. */
export async function untilRun(
  test: TestServices,
  id: string,
  worker: Program,
  what: string,
  look: (run: RunDetail) => boolean,
): Promise<RunDetail> {
  let seen: RunDetail | null = null;
  try {
    return await until(what, async () => {
      seen = await getRun(test.services.db, { id });
      return look(seen) && seen;
    });
  } catch (cause) {
    throw new Error(
      `${what}: ${JSON.stringify(seen && { status: (seen as RunDetail).status, step: (seen as RunDetail).step, reason: (seen as RunDetail).reason })}\n${worker.output()}`,
      { cause },
    );
  }
}

export function untilEnded(test: TestServices, id: string, worker: Program): Promise<RunDetail> {
  return untilRun(test, id, worker, "the run ends", (run) => endedStatuses.includes(run.status));
}

/** Steps with a metrics row, in order. */
export async function metricSteps(
  { services: { db } }: { services: Pick<TestServices["services"], "db"> },
  id: string,
): Promise<number[]> {
  const rows = await db
    .select({ step: run_metrics.step })
    .from(run_metrics)
    .where(eq(run_metrics.run_id, id))
    .orderBy(asc(run_metrics.step));
  return rows.map(({ step }) => step);
}

/** The steps at which a run that ends at step `last` reports. */
export function expectedSteps(last: number): number[] {
  return Array.from({ length: Math.floor(last / metricsEvery) }, (_, index) => (index + 1) * metricsEvery);
}
