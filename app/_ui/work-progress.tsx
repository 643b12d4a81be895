"use client";

import type { WorkProgress } from "../../server/models/views.ts";
import { formatBytes, formatCompact, formatDuration } from "./format.ts";
import { ProgressBar } from "./progress-bar.tsx";

function amount(value: number, unit: WorkProgress["unit"]): string {
  return unit === "bytes" ? formatBytes(value) : formatCompact(value);
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** How far a long job of the server is, how fast it goes, when it will be done. */
export function WorkProgressLine({ label, progress }: { label: string; progress: WorkProgress | null }) {
  const { stage, done, total, unit, per_second, note } = progress ?? beginning;
  const left = total !== null && per_second ? (total - done) / per_second : null;
  return (
    <div>
      <div className="mb-1.5 flex flex-wrap items-baseline justify-between gap-x-4 text-xs text-ink-2">
        <span className="min-w-0 truncate">
          {capitalized(stage)}
          {note === null ? null : <span className="text-ink-3"> · {note}</span>}
        </span>
        <span className="num">
          {done > 0 || total !== null
            ? `${amount(done, unit)}${total === null ? "" : ` of ${amount(total, unit)}`}${unit === "bytes" ? "" : ` ${unit}`}`
            : null}
          {per_second === null || per_second === 0 ? null : `, ${amount(per_second, unit)}/s`}
          {left === null ? null : `, ${formatDuration(left)} left`}
        </span>
      </div>
      <ProgressBar label={label} value={total === null ? 0 : done} max={total || 1} />
    </div>
  );
}

const beginning: WorkProgress = {
  stage: "beginning",
  done: 0,
  total: null,
  unit: "bytes",
  per_second: null,
  note: null,
};
