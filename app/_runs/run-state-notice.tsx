import type { RunDetail } from "../../server/runs/views.ts";
import { Notice } from "../_ui/notice.tsx";

/** What the reader must know about the state of a run: the cause, and what comes next. */
export function RunStateNotice({ run }: { run: RunDetail }) {
  const { status, reason, desired, checkpoints } = run;
  const newest = checkpoints.reduce((most, { step }) => Math.max(most, step), 0);
  if (status === "failed") {
    return (
      <Notice tone="bad" title={reason ?? "The run failed, and left no reason."} className="mb-5">
        {newest > 0
          ? `Nothing up to step ${newest} is lost: “Try again” goes on from the checkpoint there.`
          : "There is no checkpoint to go on from: “Try again” starts from the beginning."}
      </Notice>
    );
  }
  if (status === "interrupted") {
    return (
      <Notice tone="warn" title={reason ?? "The worker that trained this run went silent."} className="mb-5">
        {newest > 0
          ? `The newest checkpoint is at step ${newest}; only the steps after it are trained again. There is nothing to do.`
          : "It has no checkpoint yet, so it starts from the beginning when a worker is free. There is nothing to do."}
      </Notice>
    );
  }
  if (status === "paused") {
    return (
      <Notice title="Paused" className="mb-5">
        {reason ?? `The GPU is free. Resume goes on at step ${run.step}.`}
      </Notice>
    );
  }
  if (status === "queued") {
    return (
      <Notice title="Waiting for a GPU worker" className="mb-5">
        {reason ?? "It starts by itself when a worker is free."}
      </Notice>
    );
  }
  if (desired === "pause") {
    return (
      <Notice title="Pausing" className="mb-5">
        The worker writes a checkpoint, then frees the GPU.
      </Notice>
    );
  }
  if (desired === "stop") {
    return (
      <Notice title="Stopping" className="mb-5">
        The worker writes a checkpoint and the SAE, then the run ends.
      </Notice>
    );
  }
  return null;
}
