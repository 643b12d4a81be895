"use client";

import { useInfiniteQuery } from "@tanstack/react-query";
import { Component, SearchX, Upload } from "lucide-react";
import Link from "next/link";
import { useRouter } from "next/navigation";
import { useState } from "react";
import { importingList } from "../_data/importing-list.ts";
import { type ListFilters, type ListShape, useListFilters } from "../_data/list-filters.ts";
import { LoadFailure } from "../_data/load-failure.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { useVisible } from "../_data/use-visible.ts";
import { Button, buttonClass } from "../_ui/button.tsx";
import { ListControls, ListEnd } from "../_ui/list-parts.tsx";
import { EmptyState, PageHeader } from "../_ui/panel.tsx";
import { SkeletonRows } from "../_ui/skeleton.tsx";
import { ImportSaeDialog } from "./import-dialog.tsx";
import { type SaeSort, SaeTable, saeSortFields } from "./sae-table.tsx";

const kinds = [
  { value: "all", label: "All" },
  { value: "trained", label: "Trained here" },
  { value: "imported", label: "Imported" },
] as const;
type Kind = (typeof kinds)[number]["value"];
const shape: ListShape<Kind, SaeSort["by"]> = {
  param: "kind",
  choices: kinds,
  fields: saeSortFields,
  standard: { by: "created_at", direction: "desc" },
};

function useSaes({ text, choice, sort }: ListFilters<Kind, SaeSort["by"]>) {
  const trpc = useTRPC();
  const visible = useVisible();
  return useInfiniteQuery(
    trpc.saes.list.infiniteQueryOptions(
      { ...(text ? { text } : {}), ...(choice === "all" ? {} : { kind: choice }), sort, limit: 50 },
      importingList(visible),
    ),
  );
}

/** Everything that can be used: what runs left, and what was imported. */
export function SaeList() {
  const router = useRouter();
  const [filters, setFilters] = useListFilters(shape);
  const [importing, setImporting] = useState(false);
  const saes = useSaes(filters);
  const items = saes.data?.pages.flatMap((page) => page.items) ?? [];
  const total = saes.data?.pages[0]?.total ?? 0;
  const filtered = filters.text !== "" || filters.choice !== "all";
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
        <ListControls
          label="Search SAEs"
          choiceLabel="Where they come from"
          choices={kinds}
          filters={filters}
          onChange={setFilters}
        />
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
                <Button onClick={() => setFilters({ text: "", choice: "all" })}>
                  Clear search and filter
                </Button>
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
      <ListEnd
        shown={items.length}
        total={total}
        more={saes.hasNextPage}
        loading={saes.isFetchingNextPage}
        onMore={() => void saes.fetchNextPage()}
      />
      <ImportSaeDialog
        open={importing}
        onOpenChange={setImporting}
        onImported={(id) => router.push(`/saes/${id}`)}
      />
    </>
  );
}
