import type { RunStatus } from "../../server/runs/views.ts";
import { classNames } from "../_ui/class-names.ts";
import type { ProgressTone } from "../_ui/progress-bar.tsx";

interface StatusLook {
  label: string;
  box: string;
  dot: string;
  tone: ProgressTone;
}

const busy = { box: "bg-accent-soft text-accent", dot: "bg-accent pulse", tone: "accent" } as const;
const waiting = { box: "bg-warn-soft text-warn", dot: "bg-warn", tone: "warn" } as const;

export const statusLooks: Record<RunStatus, StatusLook> = {
  queued: { label: "Queued", box: "bg-hover text-ink-2", dot: "bg-ink-3", tone: "idle" },
  initializing: { label: "Initializing", ...busy },
  running: { label: "Running", ...busy },
  paused: { label: "Paused", ...waiting },
  interrupted: { label: "Interrupted", ...waiting },
  completed: { label: "Completed", box: "bg-ok-soft text-ok", dot: "bg-ok", tone: "ok" },
  stopped: { label: "Stopped", box: "bg-hover text-ink-2", dot: "bg-ink-2", tone: "idle" },
  failed: { label: "Failed", box: "bg-bad-soft text-bad", dot: "bg-bad", tone: "bad" },
};

/** In the order of a run's life. */
export const runStatuses = Object.keys(statusLooks) as RunStatus[];

/** Statuses in which something happens by itself. */
export function isActive(status: RunStatus): boolean {
  return ["queued", "initializing", "running", "interrupted"].includes(status);
}

export function StatusBadge({ status }: { status: RunStatus }) {
  const { label, box, dot } = statusLooks[status];
  return (
    <span
      data-status={status}
      className={classNames(
        "inline-flex h-5.5 items-center gap-1.5 rounded-full px-2 text-xs font-medium whitespace-nowrap",
        box,
      )}
    >
      <span aria-hidden className={classNames("size-1.5 rounded-full", dot)} />
      {label}
    </span>
  );
}
