import { eq } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { runs, saes, workers } from "../../db/schema.ts";
import { NotFoundError } from "../errors.ts";
import {
  readCheckpoints,
  readLog,
  runSourceOf,
  runSummary,
  saeView,
  summaryColumns,
  wholeConfig,
} from "./read.ts";
import type { RunDetail, RunEvent } from "./views.ts";

export const getInput = z.object({ id: z.uuid() });

/** Everything about one run except its metrics. Throws `NotFoundError`. */
export async function getRun(db: Executor, { id }: z.output<typeof getInput>): Promise<RunDetail> {
  // One snapshot of the database, so that `seq` says exactly which events the rest of the view contains.
  return db.transaction(
    async (tx) => {
      const [row] = await tx.select(summaryColumns).from(runs).where(eq(runs.id, id));
      if (row === undefined) throw new NotFoundError("run", id);
      const { run } = row;
      const [sae] = await tx.select().from(saes).where(eq(saes.run_id, id)).limit(1);
      const [worker] =
        run.worker_id === null ? [] : await tx.select().from(workers).where(eq(workers.id, run.worker_id));
      return {
        ...runSummary(row),
        description: run.description,
        config: wholeConfig(run.config),
        run_source: runSourceOf(run, row.sets),
        reason: run.reason,
        attempt: run.attempt,
        worker:
          worker === undefined
            ? null
            : {
                id: worker.id,
                host: worker.host,
                adapter: worker.adapter ?? "not known yet",
                software: worker.software ?? false,
              },
        memory:
          run.planned_bytes === null
            ? null
            : { planned_bytes: run.planned_bytes, peak_bytes: run.peak_bytes },
        checkpoints: await readCheckpoints(tx, id),
        sae: sae === undefined ? null : saeView(sae),
        seq: run.last_seq,
      };
    },
    { isolationLevel: "repeatable read", accessMode: "read only" },
  );
}

export const logInput = z.object({
  id: z.uuid(),
  after: z.number().int().min(0).default(0),
  limit: z.number().int().min(1).max(1_000).default(500),
});

/** A run's log after a number: what happened, without metrics and evaluations. Throws `NotFoundError`. */
export async function runLog(
  db: Executor,
  input: z.output<typeof logInput>,
): Promise<{ events: RunEvent[] }> {
  const [run] = await db.select({ id: runs.id }).from(runs).where(eq(runs.id, input.id));
  if (run === undefined) throw new NotFoundError("run", input.id);
  return { events: await readLog(db, input.id, input.after, input.limit) };
}
