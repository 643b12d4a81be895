"use client";

import { useEffect, useMemo } from "react";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import type { RunDetail } from "../../server/runs/views.ts";
import { MetricCharts } from "../_charts/metric-charts.tsx";
import { MetricTiles } from "../_charts/metric-tiles.tsx";
import { EvaluationTiles, RecoveryTiles } from "../_charts/recovery.tsx";
import { ModelTiles } from "../_saes/model-tiles.tsx";
import { useSystemStatus } from "../_shell/connection-state.tsx";
import { PageFailure } from "../_ui/page-states.tsx";
import { ThingHeader } from "../_ui/thing-header.tsx";
import { EventLog } from "./event-log.tsx";
import { ModelEvaluations } from "./model-evaluations.tsx";
import { RunControls } from "./run-controls.tsx";
import { Checkpoints, Configuration, MemoryFacts, SaeFacts } from "./run-facts.tsx";
import { RunProgress } from "./run-progress.tsx";
import { RunSkeleton } from "./run-skeleton.tsx";
import { RunStateNotice } from "./run-state-notice.tsx";
import { StatusBadge, statusLooks } from "./status-badge.tsx";
import { useRunFeed } from "./use-run-feed.ts";

/** The tab tells the state, so that it can be read without being looked at. */
function useTitle(run: RunDetail | null): void {
  const state = !run
    ? "Run"
    : run.status === "running"
      ? `${Math.floor((100 * run.step) / Math.max(1, run.total_steps))} % ${run.name}`
      : `${statusLooks[run.status].label}: ${run.name}`;
  useEffect(() => {
    document.title = `${state} · Facet`;
  }, [state]);
}

function Outcome({ run }: { run: RunDetail }) {
  if (!run.sae) return null;
  const { recovery, evaluation } = run.sae;
  return (
    <section aria-label="Outcome" className="mb-6">
      {recovery ? (
        <>
          <h2 className="mb-2 font-medium">Recovery of the true features</h2>
          <RecoveryTiles recovery={recovery} />
        </>
      ) : null}
      <h2 className="mt-4 mb-2 font-medium first:mt-0">Final evaluation</h2>
      <EvaluationTiles evaluation={evaluation} d_sae={run.d_sae} config={run.config} />
      {run.source.kind === "live" ? <ModelTiles saeId={run.sae.id} /> : null}
    </section>
  );
}

/** One run: live while it moves, whole when it is done. */
export function RunPage({ id }: { id: string }) {
  const { state, feed } = useRunFeed(id);
  const system = useSystemStatus();
  const { run, history, version, log, evaluations, error } = state;
  useTitle(run);
  // A run is read again and again, but what it trains never changes: charts need not be drawn anew for that.
  const text = run ? JSON.stringify(run.config) : null;
  const config = useMemo(() => (text === null ? null : (JSON.parse(text) as TrainingConfig)), [text]);

  if (!run) {
    if (!error) return <RunSkeleton />;
    return (
      <PageFailure
        what="run"
        error={error}
        back={{ href: "/runs", label: "Go to the runs" }}
        onRetry={() => feed.start()}
      />
    );
  }
  return (
    <article>
      <ThingHeader
        list={{ href: "/runs", label: "Runs" }}
        from={run.source.name}
        name={run.name}
        badge={
          <span role="status">
            <StatusBadge status={run.status} />
          </span>
        }
        actions={<RunControls run={run} onChanged={() => feed.refresh()} />}
      >
        {run.description ? <p className="mt-0.5 max-w-[75ch] text-ink-2">{run.description}</p> : null}
      </ThingHeader>
      <RunProgress run={run} history={history} />
      <RunStateNotice run={run} />
      <Outcome run={run} />
      {run.sae ? null : (
        <div className="mb-6">
          <MetricTiles latest={history.latest ?? run.latest} d_sae={run.d_sae} config={run.config} />
        </div>
      )}
      <MetricCharts history={history} version={version} name={run.name} config={config} />
      <ModelEvaluations run={run} version={evaluations} />
      <div className="mt-6 grid items-start gap-4 lg:grid-cols-[minmax(0,1fr)_24rem]">
        <Configuration run={run} />
        <div className="flex min-w-0 flex-col gap-4 max-lg:order-first">
          {run.sae ? <SaeFacts sae={run.sae} home={system.data?.home ?? null} /> : null}
          <EventLog events={log} />
          <Checkpoints checkpoints={run.checkpoints} />
          {run.memory ? <MemoryFacts memory={run.memory} /> : null}
        </div>
      </div>
    </article>
  );
}
