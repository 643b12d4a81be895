"use client";

import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { Component, SearchX, Upload } from "lucide-react";
import Link from "next/link";
import { useRouter } from "next/navigation";
import { useState } from "react";
import { LoadFailure } from "../_data/load-failure.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { useVisible } from "../_data/use-visible.ts";
import { Button, buttonClass } from "../_ui/button.tsx";
import { Segmented } from "../_ui/choice.tsx";
import { formatCount } from "../_ui/format.ts";
import { EmptyState, PageHeader } from "../_ui/panel.tsx";
import { SearchBox } from "../_ui/search-box.tsx";
import { SkeletonRows } from "../_ui/skeleton.tsx";
import { ImportSaeDialog } from "./import-dialog.tsx";
import { type SaeFilters, useSaeFilters } from "./list-filters.ts";
import { SaeTable } from "./sae-table.tsx";

const importingRefreshMs = 700;
const idleRefreshMs = 15_000;

function useSaes({ text, kind, sort }: SaeFilters) {
  const trpc = useTRPC();
  const visible = useVisible();
  return useInfiniteQuery(
    trpc.saes.list.infiniteQueryOptions(
      { ...(text ? { text } : {}), ...(kind === "all" ? {} : { kind }), sort, limit: 50 },
      {
        getNextPageParam: (page) => page.next_cursor,
        placeholderData: keepPreviousData,
        refetchInterval: (query) => {
          if (!visible) return false;
          const busy = query.state.data?.pages.some(({ items }) =>
            items.some(({ status }) => status === "importing"),
          );
          return busy ? importingRefreshMs : idleRefreshMs;
        },
      },
    ),
  );
}

/** Everything that can be used: what runs left, and what was imported. */
export function SaeList() {
  const router = useRouter();
  const [filters, setFilters] = useSaeFilters();
  const [importing, setImporting] = useState(false);
  const saes = useSaes(filters);
  const items = saes.data?.pages.flatMap((page) => page.items) ?? [];
  const total = saes.data?.pages[0]?.total ?? 0;
  const filtered = filters.text !== "" || filters.kind !== "all";
  const bare = !saes.isPending && items.length === 0 && !filtered;
  return (
    <>
      <PageHeader
        title="SAEs"
        actions={
          bare ? null : (
            <Button onClick={() => setImporting(true)}>
              <Upload aria-hidden size={14} />
              Import an SAE
            </Button>
          )
        }
      />
      {bare ? null : (
        <div className="mb-3 flex flex-wrap items-center gap-x-4 gap-y-2">
          <SearchBox
            label="Search SAEs"
            value={filters.text}
            onChange={(text) => setFilters({ text })}
            className="w-full sm:w-64"
          />
          <Segmented
            label="Where they come from"
            value={filters.kind}
            choices={[
              { value: "all", label: "All" },
              { value: "trained", label: "Trained here" },
              { value: "imported", label: "Imported" },
            ]}
            onChange={(kind) => setFilters({ kind })}
          />
        </div>
      )}
      {saes.isError && items.length === 0 ? (
        <LoadFailure what="The SAEs" error={saes.error} onRetry={() => void saes.refetch()} />
      ) : (
        <div className="overflow-hidden rounded-lg border border-line bg-surface">
          {saes.isPending ? (
            <SkeletonRows />
          ) : items.length > 0 ? (
            <SaeTable items={items} sort={filters.sort} onSort={(sort) => setFilters({ sort })} />
          ) : filtered ? (
            <EmptyState
              icon={<SearchX aria-hidden size={22} />}
              title="No SAE matches"
              action={
                <Button onClick={() => setFilters({ text: "", kind: "all" })}>Clear search and filter</Button>
              }
            >
              Search looks in names, architectures, hook points, models and datasets.
            </EmptyState>
          ) : (
            <EmptyState
              icon={<Component aria-hidden size={22} />}
              title="No SAEs yet"
              action={
                <>
                  <Link href="/runs/new" className={buttonClass("primary")}>
                    New run
                  </Link>
                  <Button onClick={() => setImporting(true)}>
                    <Upload aria-hidden size={14} />
                    Import an SAE
                  </Button>
                </>
              }
            >
              A run that completes or is stopped leaves its SAE here. One of SAELens, dictionary_learning,
              sparsify, Gemma Scope or OpenAI can be imported.
            </EmptyState>
          )}
        </div>
      )}
      {items.length > 0 ? (
        <div className="mt-3 flex items-center justify-between gap-4 text-xs text-ink-2">
          <span className="num">
            {formatCount(items.length)} of {formatCount(total)}
          </span>
          {saes.hasNextPage ? (
            <Button size="small" disabled={saes.isFetchingNextPage} onClick={() => void saes.fetchNextPage()}>
              Load more
            </Button>
          ) : null}
        </div>
      ) : null}
      <ImportSaeDialog
        open={importing}
        onOpenChange={setImporting}
        onImported={(id) => router.push(`/saes/${id}`)}
      />
    </>
  );
}
