"use client";

import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { Activity, Plus, SearchX } from "lucide-react";
import Link from "next/link";
import { type Architecture, architectures } from "../../gpu/sae/architecture.ts";
import { architectureDescriptions } from "../../gpu/sae/config.ts";
import type { RunStatus } from "../../server/runs/views.ts";
import { LoadFailure } from "../_data/load-failure.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { useVisible } from "../_data/use-visible.ts";
import { Button, buttonClass } from "../_ui/button.tsx";
import { type Choice, SelectBox } from "../_ui/choice.tsx";
import { classNames } from "../_ui/class-names.ts";
import { formatCount } from "../_ui/format.ts";
import { ListEnd } from "../_ui/list-parts.tsx";
import { EmptyState, PageHeader } from "../_ui/panel.tsx";
import { SearchBox } from "../_ui/search-box.tsx";
import { SkeletonRows } from "../_ui/skeleton.tsx";
import { type ListFilters, useListFilters } from "./list-filters.ts";
import { RunTable } from "./run-table.tsx";
import { isActive, runStatuses, statusLooks } from "./status-badge.tsx";

const busyRefreshMs = 2_000;
const idleRefreshMs = 10_000;
const pageRows = 50;

function useRuns({ text, status, architecture, sort }: ListFilters) {
  const trpc = useTRPC();
  const visible = useVisible();
  return useInfiniteQuery(
    trpc.runs.list.infiniteQueryOptions(
      {
        ...(text ? { text } : {}),
        ...(status.length > 0 ? { status: [...status] } : {}),
        ...(architecture ? { architecture: [architecture] } : {}),
        sort,
        limit: pageRows,
      },
      {
        getNextPageParam: (page) => page.next_cursor,
        placeholderData: keepPreviousData,
        refetchInterval: (query) => {
          if (!visible) return false;
          const busy = query.state.data?.pages.some(({ counts }) =>
            runStatuses.some((name) => isActive(name) && counts[name] > 0),
          );
          return busy ? busyRefreshMs : idleRefreshMs;
        },
      },
    ),
  );
}

function StatusChips({
  counts,
  selected,
  onChange,
}: {
  counts: Record<RunStatus, number>;
  selected: readonly RunStatus[];
  onChange: (selected: readonly RunStatus[]) => void;
}) {
  const all = runStatuses.reduce((sum, status) => sum + counts[status], 0);
  const chip =
    "inline-flex h-8 shrink-0 items-center gap-1.5 rounded-md border px-2.5 transition-colors duration-100";
  const look = (pressed: boolean) =>
    pressed
      ? "border-line-strong bg-surface text-ink font-medium"
      : "border-transparent text-ink-2 hover:bg-hover hover:text-ink";
  return (
    <fieldset className="flex flex-wrap items-center gap-1">
      <legend className="sr-only">Status</legend>
      <button
        type="button"
        aria-pressed={selected.length === 0}
        onClick={() => onChange([])}
        className={classNames(chip, look(selected.length === 0))}
      >
        All <span className="num text-xs text-ink-3">{formatCount(all)}</span>
      </button>
      {runStatuses
        .filter((status) => counts[status] > 0 || selected.includes(status))
        .map((status) => {
          const pressed = selected.includes(status);
          return (
            <button
              key={status}
              type="button"
              aria-pressed={pressed}
              onClick={() =>
                onChange(pressed ? selected.filter((one) => one !== status) : [...selected, status])
              }
              className={classNames(chip, look(pressed))}
            >
              <span aria-hidden className={classNames("size-1.5 rounded-full", statusLooks[status].dot)} />
              {statusLooks[status].label}
              <span className="num text-xs text-ink-3">{formatCount(counts[status])}</span>
            </button>
          );
        })}
    </fieldset>
  );
}

const architectureChoices: readonly Choice<Architecture | "all">[] = [
  { value: "all", label: "All architectures" },
  ...architectures.map((value) => ({ value, label: architectureDescriptions[value].label })),
];

const noCounts = Object.fromEntries(runStatuses.map((status) => [status, 0])) as Record<RunStatus, number>;

/** All runs: search, filter, sort, pages; kept fresh while one of them moves. */
export function RunList() {
  const [filters, setFilters] = useListFilters();
  const runs = useRuns(filters);
  const pages = runs.data?.pages ?? [];
  const items = pages.flatMap(({ items: rows }) => rows);
  const counts = pages[0]?.counts ?? noCounts;
  const total = pages[0]?.total ?? 0;
  const filtered = filters.text !== "" || filters.status.length > 0 || filters.architecture !== null;

  return (
    <>
      <PageHeader
        title="Runs"
        actions={
          <Link href="/runs/new" className={buttonClass("primary")}>
            <Plus aria-hidden size={15} />
            New run
          </Link>
        }
      />
      <div className="mb-3 flex flex-wrap items-center gap-x-4 gap-y-2">
        <SearchBox
          label="Search runs"
          value={filters.text}
          onChange={(text) => setFilters({ text })}
          className="w-full sm:w-64"
        />
        <StatusChips
          counts={counts}
          selected={filters.status}
          onChange={(status) => setFilters({ status })}
        />
        <div className="w-full sm:ml-auto sm:w-52">
          <SelectBox
            label="Architecture"
            value={filters.architecture ?? "all"}
            choices={architectureChoices}
            onChange={(value) =>
              setFilters({ architecture: architectures.find((one) => one === value) ?? null })
            }
          />
        </div>
      </div>
      {runs.isError && items.length === 0 ? (
        <LoadFailure what="The runs" error={runs.error} onRetry={() => void runs.refetch()} />
      ) : (
        <div className="overflow-hidden rounded-lg border border-line bg-surface">
          {runs.isPending ? (
            <SkeletonRows />
          ) : items.length > 0 ? (
            <RunTable items={items} sort={filters.sort} onSort={(sort) => setFilters({ sort })} />
          ) : filtered ? (
            <EmptyState
              icon={<SearchX aria-hidden size={22} />}
              title="No run matches"
              action={
                <Button onClick={() => setFilters({ text: "", status: [], architecture: null })}>
                  Clear search and filters
                </Button>
              }
            >
              Search looks in names and descriptions.
            </EmptyState>
          ) : (
            <EmptyState
              icon={<Activity aria-hidden size={22} />}
              title="No runs yet"
              action={
                <>
                  <Link href="/runs/new" className={buttonClass("primary")}>
                    New run
                  </Link>
                  <Link href="/activations" className={buttonClass("plain")}>
                    Import activations
                  </Link>
                </>
              }
            >
              A run trains a sparse autoencoder on synthetic activations whose true features are known, or on
              an imported set of a model's activations.
            </EmptyState>
          )}
        </div>
      )}
      <ListEnd
        shown={items.length}
        total={total}
        more={runs.hasNextPage}
        loading={runs.isFetchingNextPage}
        onMore={() => void runs.fetchNextPage()}
      />
    </>
  );
}
