import { and, eq, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { runs } from "../../db/schema.ts";
import { NotFoundError } from "../errors.ts";
import type { RunQueue } from "../queue.ts";
import { removeRun } from "./delete.ts";
import { allowedControls, assertLegal, heldStatuses, refused } from "./state-machine.ts";
import type { DesiredState, RunStatus } from "./views.ts";
import { type NewEvent, type RunWrite, statusColumns, writeRun } from "./write.ts";

export const controlInput = z.object({
  id: z.uuid(),
  control: z.enum(["pause", "resume", "stop", "cancel", "retry"]),
});
type Control = z.output<typeof controlInput>["control"];

/** "deleted": the run was withdrawn before any worker had it, and nothing of it is left. */
export interface ControlResult {
  status: RunStatus | "deleted";
}

interface Plan {
  set: RunWrite["set"];
  events: NewEvent[];
  /** Withdraw the job (cancel) or send one (resume, stop, retry of a run that no worker holds). */
  job: "send" | "withdraw" | "leave";
}

/**
 * Does what the user asks of a run. While a worker holds the run this only sets what is desired of it: the worker
 * moves the run when it has done so. Throws `ConflictError` when the control makes no sense now, or when someone
 * else was faster.
 */
export async function controlRun(
  db: Executor,
  queue: RunQueue,
  home: string,
  { id, control }: z.output<typeof controlInput>,
): Promise<ControlResult> {
  const [seen] = await db
    .select({ status: runs.status, desired: runs.desired, attempt: runs.attempt })
    .from(runs)
    .where(eq(runs.id, id));
  if (seen === undefined) throw new NotFoundError("run", id);
  if (!allowedControls(seen.status, seen.desired).includes(control)) throw refused(seen, control);

  if (control === "cancel" && seen.attempt === 0) {
    await removeRun(db, queue, home, id, { status: "queued", attempt: 0 });
    return { status: "deleted" };
  }
  const plan = planControl(seen.status, control);
  return db.transaction(async (tx) => {
    const row = await writeRun(tx, {
      id,
      guard: and(
        eq(runs.status, seen.status),
        eq(runs.desired, seen.desired),
        eq(runs.attempt, seen.attempt),
      ),
      set: plan.set,
      events: plan.events,
    });
    if (row === null) {
      const [now] = await tx
        .select({ status: runs.status, desired: runs.desired })
        .from(runs)
        .where(eq(runs.id, id));
      throw now === undefined ? new NotFoundError("run", id) : refused(now, control);
    }
    if (plan.job === "send") await queue.enqueue(tx, id, row.attempt);
    if (plan.job === "withdraw") await queue.withdraw(tx, id, row.attempt);
    return { status: row.status };
  });
}

/** What a control that `allowedControls` admits comes to. */
function planControl(status: RunStatus, control: Control): Plan {
  const wish = (desired: DesiredState, message: string): Plan => ({
    set: { desired },
    events: [{ type: "progress", message }],
    job: "leave",
  });
  const move = (to: RunStatus, desired: DesiredState, reason: string | null, job: Plan["job"]): Plan => {
    assertLegal(status, to, "user");
    return {
      set: { ...statusColumns(to, reason), desired },
      events: [{ type: "status", status: to, reason }],
      job,
    };
  };
  const held = heldStatuses.includes(status);
  switch (control) {
    case "pause":
      return held
        ? wish("pause", "Pause requested; the worker writes a checkpoint first.")
        : move("paused", "run", null, "withdraw");
    case "resume":
      return held
        ? wish("run", "Pause withdrawn.")
        : move("queued", "run", "Waits for a worker to go on.", "send");
    case "stop":
      if (held) return wish("stop", "Stop requested; the worker writes a checkpoint and the SAE first.");
      return status === "paused"
        ? move("queued", "stop", "Waits for a worker to write the SAE from the newest checkpoint.", "send")
        : wish("stop", "Stop requested; the worker that takes the run up will write its SAE.");
    case "cancel":
      return move("paused", "run", "Withdrawn from the queue.", "withdraw");
    case "retry": {
      const plan = move(
        "queued",
        "run",
        "Waits for a worker to try again from the newest checkpoint.",
        "send",
      );
      return { ...plan, set: { ...plan.set, interruptions: sql`0` } };
    }
  }
}
