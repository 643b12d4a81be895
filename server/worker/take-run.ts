import { and, eq, inArray, ne } from "drizzle-orm";
import type { Executor } from "../../db/executor.ts";
import { runs } from "../../db/schema.ts";
import type { RunQueue } from "../queue.ts";
import { claimRun, transition } from "../runs/record.ts";
import { common } from "../runs/source-sets.ts";
import { heldStatuses } from "../runs/state-machine.ts";
import type { AssignedRun } from "./run-session.ts";

/** Claims a run together with what its SAE's metadata will name; null when it is not waiting any more. */
export async function takeRun(db: Executor, runId: string, workerId: string): Promise<AssignedRun | null> {
  return await db.transaction(async (tx) => {
    const claim = await claimRun(tx, runId, { id: workerId });
    if (claim === null) return null;
    return {
      ...claim,
      subject: claim.live?.subject ?? null,
      model_name: claim.live?.subject.model.name ?? common(claim.sets.map(({ model_name }) => model_name)),
      dataset_name: claim.live?.dataset_name ?? common(claim.sets.map(({ dataset_name }) => dataset_name)),
    };
  });
}

/**
 * Gives back runs that this worker holds by the database but does not train: a claim whose confirmation was lost
 * with the connection, or a session whose last words were.
 */
export async function releaseForgotten(
  db: Executor,
  queue: RunQueue,
  workerId: string,
  trainingRunId: string | null,
): Promise<void> {
  const forgotten = await db
    .select({ id: runs.id, attempt: runs.attempt })
    .from(runs)
    .where(
      and(
        eq(runs.worker_id, workerId),
        inArray(runs.status, [...heldStatuses]),
        trainingRunId === null ? undefined : ne(runs.id, trainingRunId),
      ),
    );
  for (const run of forgotten) {
    await db.transaction(async (tx) => {
      const reason = "The worker lost the database for a while. The run goes on from its newest checkpoint.";
      const reached = await transition(tx, run.id, run.attempt, heldStatuses, "interrupted", reason);
      if (reached === "interrupted") await queue.enqueue(tx, run.id, run.attempt);
    });
  }
}
