import { and, desc, gte, isNotNull, isNull, sql } from "drizzle-orm";
import type { Executor } from "../../db/executor.ts";
import { workers } from "../../db/schema.ts";
import { StoredSource } from "../../gpu/data/stored-rows.ts";
import { SyntheticSource } from "../../gpu/data/synthetic.ts";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import { type MemoryPlan, planMemory } from "../../gpu/sae/trainer.ts";
import { openStoredRows } from "../activations/rows.ts";
import { ServiceError } from "../errors.ts";
import { withEvaluation } from "./evaluation-memory.ts";
import { liveSource, openModelAndTokens } from "./open-live.ts";
import { workerSilenceSeconds } from "./reaper.ts";
import type { RunSource } from "./views.ts";

export interface PlannedMemory {
  /** For the live worker with the most memory; null when the source cannot be opened. */
  plan: MemoryPlan | null;
  /** A sentence when the source cannot be opened, or no live worker can hold the run. */
  fault: { path: string; message: string } | null;
}

/**
 * The memory a run will take, by the formulas that allocate it, against what the live workers have. Null without a
 * live worker: the run may still be queued for one.
 */
export async function planRunMemory(
  db: Executor,
  home: string,
  config: TrainingConfig,
  source: RunSource,
): Promise<PlannedMemory | null> {
  const [worker] = await db
    .select({
      host: workers.host,
      adapter: workers.adapter,
      memory_bytes: workers.memory_bytes,
    })
    .from(workers)
    .where(
      and(
        isNotNull(workers.capabilities),
        isNull(workers.stopped_at),
        gte(workers.heartbeat_at, sql`now() - make_interval(secs => ${workerSilenceSeconds})`),
      ),
    )
    .orderBy(desc(sql`coalesce(${workers.memory_bytes}, 0)`))
    .limit(1);
  if (worker === undefined) return null;
  let plan: MemoryPlan;
  try {
    plan = await planFor(home, config, source);
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    const path = source.kind === "live" ? "source.model_id" : "source.activation_set_ids";
    return { plan: null, fault: { path, message: error.message } };
  }
  const most = worker.memory_bytes;
  const fault =
    most !== null && plan.total > most
      ? {
          path: "config.d_sae",
          message: `The run takes ${megabytes(plan.total)} of GPU memory, but ${worker.adapter} on ${worker.host} has ${megabytes(most)} to give; choose a smaller d_sae or batch.`,
        }
      : null;
  return { plan, fault };
}

async function planFor(home: string, config: TrainingConfig, source: RunSource): Promise<MemoryPlan> {
  if (source.kind === "synthetic") {
    return planMemory(config, new SyntheticSource(source.synthetic));
  }
  if (source.kind === "live") {
    const opened = await openModelAndTokens(home, source);
    try {
      const training = planMemory(config, liveSource(opened, source, config.seed));
      return withEvaluation(training, config, source, opened);
    } finally {
      await opened.close();
    }
  }
  const stored = await openStoredRows(home, source.activation_set_ids);
  try {
    return planMemory(config, new StoredSource(stored.rows, { seed: config.seed }));
  } finally {
    await stored.close();
  }
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6).toLocaleString("en")} MB`;
}
