import { and, eq, type SQL, sql } from "drizzle-orm";
import type { PgUpdateSetSource } from "drizzle-orm/pg-core";
import type { Executor } from "../../db/executor.ts";
import { run_events, runs } from "../../db/schema.ts";
import { endedStatuses } from "./state-machine.ts";
import type { RunEvent, RunStatus } from "./views.ts";

export type RunRow = typeof runs.$inferSelect;

type Unnumbered<T> = T extends { type: string } ? Omit<T, "seq" | "at"> : never;
/** An event about to be written, without its number and time. */
export type NewEvent = Unnumbered<Exclude<RunEvent, { type: "metrics" }>>;

/** Channel on which the id of a changed run is sent when its transaction commits. */
export const runChannel = "facet_run";

export interface RunWrite {
  id: string;
  /** What must hold of the row for the write to happen: the "compare" of compare-and-set. */
  guard: SQL | undefined;
  set: Omit<PgUpdateSetSource<typeof runs>, "last_seq" | "updated_at">;
  events: NewEvent[];
  /** Numbers to reserve for metrics rows, after those of the events. */
  metrics?: number;
}

/**
 * The only way a run's row changes after it was made: one compare-and-set that also reserves the numbers of what is
 * written along with it, and a notification. Call it inside a transaction. Returns the row after the write, or null
 * when the guard did not hold. Numbers `last_seq - metrics + 1 ..= last_seq` are the caller's for metrics rows.
 */
export async function writeRun(tx: Executor, write: RunWrite): Promise<RunRow | null> {
  const reserved = write.events.length + (write.metrics ?? 0);
  const [row] = await tx
    .update(runs)
    .set({ ...write.set, last_seq: sql`${runs.last_seq} + ${reserved}`, updated_at: sql`now()` })
    .where(and(eq(runs.id, write.id), write.guard))
    .returning();
  if (row === undefined) return null;
  if (write.events.length > 0) {
    await tx.insert(run_events).values(
      write.events.map(({ type, ...body }, index) => ({
        run_id: write.id,
        seq: row.last_seq - reserved + 1 + index,
        type,
        body,
      })),
    );
  }
  await notifyRun(tx, write.id);
  return row;
}

export async function notifyRun(tx: Executor, id: string): Promise<void> {
  await tx.execute(sql`select pg_notify(${runChannel}, ${id})`);
}

/** Columns that follow from a new status alone. */
export function statusColumns(to: RunStatus, reason: string | null): Partial<RunWrite["set"]> {
  const ended = endedStatuses.includes(to);
  return {
    status: to,
    reason,
    ended_at: ended ? sql`now()` : null,
    // A wish is spent once its state is reached; an interrupted run keeps it for the worker that takes it up.
    ...(ended || to === "paused" ? { desired: "run" as const } : {}),
  };
}
