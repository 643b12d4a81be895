"use client";

import Link from "next/link";
import { isTranscoder } from "../../gpu/sae/architecture.ts";
import { architectureDescriptions } from "../../gpu/sae/config.ts";
import type { RunSummary } from "../../server/runs/views.ts";
import { formatCompact, formatCount, formatDuration, formatMetric, noValue } from "../_ui/format.ts";
import { ProgressBar } from "../_ui/progress-bar.tsx";
import { RelativeTime } from "../_ui/relative-time.tsx";
import { PlainHeader, SortHeader } from "../_ui/table-header.tsx";
import type { ListFilters } from "./list-filters.ts";
import { StatusBadge, statusLooks } from "./status-badge.tsx";

function Progress({ run }: { run: RunSummary }) {
  const finished = run.status === "completed";
  return (
    <div className="flex flex-col gap-1.5">
      <div className="flex items-center justify-between gap-3">
        <StatusBadge status={run.status} />
        <span className="num text-xs whitespace-nowrap text-ink-2">
          {finished
            ? formatCount(run.total_steps)
            : `${formatCount(run.step)} / ${formatCount(run.total_steps)}`}
        </span>
      </div>
      {finished ? null : (
        <ProgressBar
          thin
          label={`Progress of ${run.name}`}
          value={run.step}
          max={run.total_steps}
          tone={statusLooks[run.status].tone}
        />
      )}
    </div>
  );
}

/** "64 → 512", with the target's width of a transcoder, times the hook points of a crosscoder. */
function Widths({ run }: { run: RunSummary }) {
  const { d_in, d_out, d_sae, n_hook_points } = run;
  return (
    <>
      {n_hook_points > 1 ? `${n_hook_points} × ` : ""}
      {formatCount(d_in)} → {formatCount(d_sae)}
      {isTranscoder(run.architecture) ? ` → ${formatCount(d_out)}` : ""}
    </>
  );
}

function Row({ run }: { run: RunSummary }) {
  const { latest } = run;
  const value = (text: string) => (latest ? text : noValue);
  return (
    <tr className="group relative border-t border-line transition-colors duration-75 hover:bg-hover/60">
      <td className="w-[36%] max-w-0 py-2.5 pr-3 pl-4 align-middle max-sm:w-full max-sm:pr-4">
        <Link
          href={`/runs/${run.id}`}
          title={run.name}
          className="block truncate font-medium after:absolute after:inset-0 focus-visible:outline-none focus-visible:after:rounded-md focus-visible:after:outline-2 focus-visible:after:-outline-offset-2 focus-visible:after:outline-accent"
        >
          {run.name}
        </Link>
        <span className="block truncate text-xs text-ink-3">
          <span className="lg:hidden">{architectureDescriptions[run.architecture].label} · </span>
          {run.source.name}
          {run.source.kind === "synthetic" ? "" : ` · ${run.hook_name}`}
        </span>
        <div className="mt-2 sm:hidden">
          <Progress run={run} />
        </div>
        <span className="num mt-1.5 flex flex-wrap gap-x-3 text-xs text-ink-2 md:hidden">
          <span>FVU {value(formatMetric(latest?.fvu))}</span>
          <span>L0 {value(latest?.l0.toFixed(1) ?? "")}</span>
          <span className="ml-auto">
            <RelativeTime iso={run.created_at} />
          </span>
        </span>
      </td>
      <td className="w-44 px-3 py-2.5 align-middle max-md:pr-4 max-sm:hidden">
        <Progress run={run} />
      </td>
      <td className="hidden px-3 py-2.5 align-middle lg:table-cell">
        <span className="block text-xs text-ink-3">{architectureDescriptions[run.architecture].label}</span>
        <span className="num text-xs whitespace-nowrap">
          <Widths run={run} />
          <span className="text-ink-3">, {run.sparsity}</span>
        </span>
      </td>
      <td className="num hidden px-3 py-2.5 text-right align-middle md:table-cell">
        {formatMetric(latest?.loss)}
      </td>
      <td className="num hidden px-3 py-2.5 text-right align-middle md:table-cell">
        {formatMetric(latest?.fvu)}
      </td>
      <td className="num hidden px-3 py-2.5 text-right align-middle md:table-cell">
        {value(latest?.l0.toFixed(1) ?? "")}
      </td>
      <td className="num hidden px-3 py-2.5 text-right align-middle lg:table-cell">
        {value(formatCompact(latest?.dead_features ?? 0))}
      </td>
      <td className="hidden py-2.5 pr-4 pl-3 text-right align-middle whitespace-nowrap text-ink-2 md:table-cell">
        {run.eta_seconds !== null && run.status === "running" ? (
          <span className="num text-xs text-accent">{formatDuration(run.eta_seconds)} left</span>
        ) : (
          <RelativeTime iso={run.created_at} />
        )}
      </td>
    </tr>
  );
}

/** Runs as rows; the whole row is the link. Narrow screens keep name, status and the two metrics that matter most. */
export function RunTable({
  items,
  sort,
  onSort,
}: {
  items: readonly RunSummary[];
  sort: ListFilters["sort"];
  onSort: (sort: ListFilters["sort"]) => void;
}) {
  return (
    <table className="w-full">
      <thead className="bg-sunken/60 text-left text-xs text-ink-3">
        <tr>
          <SortHeader field="name" sort={sort} onSort={onSort}>
            Name
          </SortHeader>
          <SortHeader field="status" sort={sort} onSort={onSort} className="max-sm:hidden">
            Status
          </SortHeader>
          <PlainHeader className="hidden lg:table-cell">Dictionary</PlainHeader>
          <PlainHeader className="hidden text-right md:table-cell">Loss</PlainHeader>
          <SortHeader field="fvu" sort={sort} onSort={onSort} className="hidden text-right md:table-cell">
            FVU
          </SortHeader>
          <PlainHeader className="hidden text-right md:table-cell">L0</PlainHeader>
          <PlainHeader className="hidden text-right lg:table-cell">Dead</PlainHeader>
          <SortHeader
            field="created_at"
            first="desc"
            sort={sort}
            onSort={onSort}
            className="hidden text-right md:table-cell"
          >
            Age
          </SortHeader>
        </tr>
      </thead>
      <tbody>
        {items.map((run) => (
          <Row key={run.id} run={run} />
        ))}
      </tbody>
    </table>
  );
}
