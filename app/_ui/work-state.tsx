"use client";

import { RotateCcw, X } from "lucide-react";
import type { WorkProgress } from "../../server/models/views.ts";
import { Button } from "./button.tsx";
import { classNames } from "./class-names.ts";
import { WorkProgressLine } from "./work-progress.tsx";

/** A long job that is under way, with its end in reach, or that failed, with its cause; null when it is done. */
export function WorkState({
  status,
  what,
  progress,
  reason,
  pending,
  onCancel,
  onRetry,
  className,
}: {
  status: "importing" | "tokenizing" | "ready" | "failed";
  /** Names the job, e.g. "Import of gpt2". */
  what: string;
  progress: WorkProgress | null;
  reason: string | null;
  /** Whether a cancel or a retry is being carried out. */
  pending: boolean;
  onCancel: () => void;
  onRetry: () => void;
  className?: string | undefined;
}) {
  if (status === "ready") return null;
  if (status === "failed") {
    return (
      <div
        role="status"
        className={classNames(
          "flex flex-wrap items-center justify-between gap-x-4 gap-y-2 rounded-md bg-bad-soft px-3 py-2",
          className,
        )}
      >
        <p className="min-w-0 flex-1 basis-72 break-words text-bad">{reason ?? `${what} failed.`}</p>
        <Button size="small" disabled={pending} onClick={onRetry}>
          <RotateCcw aria-hidden size={13} />
          Try again
        </Button>
      </div>
    );
  }
  return (
    <div className={classNames("flex items-end gap-4", className)}>
      <div className="min-w-0 flex-1">
        <WorkProgressLine label={what} progress={progress} />
      </div>
      <Button size="small" className="-mb-2.5" disabled={pending} onClick={onCancel}>
        <X aria-hidden size={13} />
        Cancel
      </Button>
    </div>
  );
}
