import { ConflictError } from "../errors.ts";
import type { DesiredState, RunControl, RunStatus } from "./views.ts";

/**
 * Who moves a run: the user by a control, the worker that holds it, or the reaper, which speaks for a worker that
 * went silent.
 */
export type Actor = "user" | "worker" | "reaper";

type Moves = Partial<Record<RunStatus, readonly Actor[]>>;

/**
 * Every legal transition and who may make it; what is not here is refused.
 *
 *   queued -> initializing -> running <-> paused -> completed, and stopped, failed, interrupted
 *
 * A resumed run is queued first, since a worker has to be free for it. An interrupted run is taken up again by a
 * worker without anybody asking.
 */
export const transitions: Readonly<Record<RunStatus, Moves>> = {
  queued: { initializing: ["worker"], paused: ["user"] },
  initializing: {
    running: ["worker"],
    paused: ["worker", "reaper"],
    stopped: ["worker"],
    completed: ["worker"],
    failed: ["worker", "reaper"],
    interrupted: ["worker", "reaper"],
  },
  running: {
    paused: ["worker", "reaper"],
    stopped: ["worker"],
    completed: ["worker"],
    failed: ["worker", "reaper"],
    interrupted: ["worker", "reaper"],
  },
  paused: { queued: ["user"] },
  interrupted: { initializing: ["worker"], paused: ["user"] },
  completed: {},
  stopped: {},
  failed: { queued: ["user"] },
};

/** Statuses in which a worker holds the run. */
export const heldStatuses: readonly RunStatus[] = ["initializing", "running"];
/** Statuses in which the run waits for a worker, so a job must exist for it. */
export const waitingStatuses: readonly RunStatus[] = ["queued", "interrupted"];
export const endedStatuses: readonly RunStatus[] = ["completed", "stopped", "failed"];

export function isLegal(from: RunStatus, to: RunStatus, actor: Actor): boolean {
  return transitions[from][to]?.includes(actor) ?? false;
}

/** Throws `ConflictError` saying what is possible instead. */
export function assertLegal(from: RunStatus, to: RunStatus, actor: Actor): void {
  if (isLegal(from, to, actor)) return;
  const possible = Object.entries(transitions[from])
    .filter(([, actors]) => actors.includes(actor))
    .map(([status]) => status);
  throw new ConflictError(
    `The ${actor} cannot move a run from ${from} to ${to}; from ${from} it can go to ${possible.length === 0 ? "no other state" : possible.join(", ")}.`,
  );
}

/** What the user may do with a run, given where it is and what has been asked of it already. */
export function allowedControls(status: RunStatus, desired: DesiredState): RunControl[] {
  switch (status) {
    case "queued":
      return ["cancel"];
    case "initializing":
    case "running":
      if (desired === "stop") return [];
      return desired === "pause" ? ["resume", "stop"] : ["pause", "stop"];
    case "paused":
      return ["resume", "stop", "delete"];
    case "interrupted":
      return desired === "stop" ? ["pause"] : ["pause", "stop"];
    case "failed":
      return ["retry", "delete"];
    case "completed":
    case "stopped":
      return ["delete"];
  }
}

const deeds: Record<RunControl, string> = {
  pause: "paused",
  resume: "resumed",
  stop: "stopped",
  cancel: "cancelled",
  retry: "retried",
  delete: "deleted",
};

/** Says where the run is and what can be done with it there. */
export function refused(
  run: { status: RunStatus; desired: DesiredState },
  control: RunControl,
): ConflictError {
  const allowed = allowedControls(run.status, run.desired);
  const wish = run.desired === "run" ? "" : ` and has been asked to ${run.desired}`;
  return new ConflictError(
    `The run is ${run.status}${wish}, so it cannot be ${deeds[control]} now. ${
      allowed.length === 0
        ? "Wait until it has done so."
        : `It can be ${allowed.map((each) => deeds[each]).join(" or ")}.`
    }`,
  );
}
