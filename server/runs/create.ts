import type { Executor } from "../../db/executor.ts";
import { run_activation_sets, run_events, runs } from "../../db/schema.ts";
import { uuidv7 } from "../../db/uuid.ts";
import type { RunQueue } from "../queue.ts";
import { type CreateRunInput, validRun } from "./check.ts";
import type { RunSource } from "./views.ts";
import { notifyRun } from "./write.ts";

/**
 * Makes a run and asks for a worker, in one transaction. Throws `InvalidInputError` with every fault at once. What
 * is deleted in between is caught by the database's foreign key.
 */
export async function createRun(
  db: Executor,
  queue: RunQueue,
  home: string,
  input: CreateRunInput,
): Promise<{ id: string }> {
  const { memory, source, ...run } = await validRun(db, home, input);
  const id = uuidv7();
  await db.transaction(async (tx) => {
    await tx.insert(runs).values({
      id,
      ...run,
      source_kind: source.kind,
      synthetic: source.kind === "synthetic" ? source.synthetic : null,
      ...(source.kind === "live" ? liveColumns(source) : {}),
      planned_bytes: memory?.total ?? null,
      last_seq: 1,
    });
    if (source.kind === "activation_set") {
      await tx.insert(run_activation_sets).values(
        source.activation_set_ids.map((activation_set_id, position) => ({
          run_id: id,
          position,
          activation_set_id,
        })),
      );
    }
    await tx
      .insert(run_events)
      .values({ run_id: id, seq: 1, type: "status", body: { status: "queued", reason: null } });
    await queue.enqueue(tx, id, 0);
    await notifyRun(tx, id);
  });
  return { id };
}

function liveColumns({ kind: _, ...columns }: Extract<RunSource, { kind: "live" }>) {
  return columns;
}
