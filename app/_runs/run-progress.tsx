"use client";

import type { RunDetail } from "../../server/runs/views.ts";
import type { MetricHistory } from "../_charts/metric-history.ts";
import { formatCompact, formatCount, formatDuration, formatPercent, noValue } from "../_ui/format.ts";
import { ProgressBar } from "../_ui/progress-bar.tsx";
import { useNow } from "../_ui/relative-time.tsx";
import { statusLooks } from "./status-badge.tsx";

function Figure({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div className="flex items-baseline gap-1.5 whitespace-nowrap">
      <dt className="text-xs text-ink-3">{name}</dt>
      <dd className="num">{children}</dd>
    </div>
  );
}

function Elapsed({ run }: { run: RunDetail }) {
  const now = useNow(1_000);
  if (!run.started_at) return noValue;
  const end = run.ended_at ? Date.parse(run.ended_at) : now;
  return formatDuration((end - Date.parse(run.started_at)) / 1_000);
}

/** How far the run is, how fast it goes, when it will be done. */
export function RunProgress({ run, history }: { run: RunDetail; history: MetricHistory }) {
  const training = run.status === "running";
  const rate = training ? history.stepsPerSecond(run.config.train_batch_size_tokens) : null;
  const eta = rate ? (run.total_steps - run.step) / rate : null;
  return (
    <div className="mb-5">
      <ProgressBar
        label="Progress"
        value={run.step}
        max={run.total_steps}
        tone={statusLooks[run.status].tone}
      />
      <dl className="mt-2.5 flex flex-wrap gap-x-6 gap-y-1">
        <Figure name="Step">
          {formatCount(run.step)} <span className="text-ink-3">/ {formatCount(run.total_steps)}</span>
        </Figure>
        <Figure name="Done">{formatPercent(run.total_steps > 0 ? run.step / run.total_steps : 0, 0)}</Figure>
        {training ? (
          <>
            <Figure name="Left">{eta === null ? noValue : formatDuration(eta)}</Figure>
            <Figure name="Steps/s">{rate === null ? noValue : rate.toPrecision(3)}</Figure>
            <Figure name="Tokens/s">
              {rate === null ? noValue : formatCompact(rate * run.config.train_batch_size_tokens)}
            </Figure>
          </>
        ) : null}
        <Figure name={run.ended_at ? "Took" : "Elapsed"}>
          <Elapsed run={run} />
        </Figure>
        {run.attempt > 1 ? <Figure name="Attempt">{run.attempt}</Figure> : null}
        {run.worker ? (
          <div className="flex min-w-0 items-baseline gap-1.5">
            <dt className="text-xs whitespace-nowrap text-ink-3">On</dt>
            <dd className="truncate" title={`${run.worker.adapter} (${run.worker.host})`}>
              {run.worker.adapter}
            </dd>
          </div>
        ) : null}
      </dl>
    </div>
  );
}
