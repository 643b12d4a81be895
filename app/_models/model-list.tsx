"use client";

import { useInfiniteQuery } from "@tanstack/react-query";
import { Download, Layers, SearchX } from "lucide-react";
import { useRouter } from "next/navigation";
import { useState } from "react";
import { importingList } from "../_data/importing-list.ts";
import { type ListFilters, type ListShape, useListFilters } from "../_data/list-filters.ts";
import { LoadFailure } from "../_data/load-failure.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { useVisible } from "../_data/use-visible.ts";
import { Button } from "../_ui/button.tsx";
import { type ImportState, importStates, ListControls, ListEnd } from "../_ui/list-parts.tsx";
import { EmptyState, PageHeader } from "../_ui/panel.tsx";
import { SkeletonRows } from "../_ui/skeleton.tsx";
import { ImportModelDialog } from "./import-dialog.tsx";
import { type ModelField, ModelTable, modelSortFields } from "./model-table.tsx";

const shape: ListShape<ImportState, ModelField> = {
  param: "state",
  choices: importStates,
  fields: modelSortFields,
  standard: { by: "created_at", direction: "desc" },
};

function useModels({ text, choice, sort }: ListFilters<ImportState, ModelField>) {
  const trpc = useTRPC();
  const visible = useVisible();
  return useInfiniteQuery(
    trpc.models.list.infiniteQueryOptions(
      { ...(text ? { text } : {}), ...(choice === "all" ? {} : { status: [choice] }), sort, limit: 50 },
      importingList(visible),
    ),
  );
}

/** The language models: what is here, what is on its way, and how another comes in. */
export function ModelList() {
  const router = useRouter();
  const [filters, setFilters] = useListFilters(shape);
  const [importing, setImporting] = useState(false);
  const models = useModels(filters);
  const items = models.data?.pages.flatMap((page) => page.items) ?? [];
  const filtered = filters.text !== "" || filters.choice !== "all";
  const bare = !models.isPending && !models.isError && items.length === 0 && !filtered;
  const importButton = (
    <Button look="primary" onClick={() => setImporting(true)}>
      <Download aria-hidden size={14} />
      Import a model
    </Button>
  );
  return (
    <>
      <PageHeader title="Models" actions={bare ? null : importButton} />
      {bare ? null : (
        <ListControls
          label="Search models"
          choiceLabel="State"
          choices={importStates}
          filters={filters}
          onChange={setFilters}
        />
      )}
      {models.isError && items.length === 0 ? (
        <LoadFailure what="The models" error={models.error} onRetry={() => void models.refetch()} />
      ) : (
        <div className="overflow-hidden rounded-lg border border-line bg-surface">
          {models.isPending ? (
            <SkeletonRows rows={4} />
          ) : items.length > 0 ? (
            <ModelTable items={items} sort={filters.sort} onSort={(sort) => setFilters({ sort })} />
          ) : filtered ? (
            <EmptyState
              icon={<SearchX aria-hidden size={22} />}
              title="No model matches"
              action={
                <Button onClick={() => setFilters({ text: "", choice: "all" })}>
                  Clear search and filter
                </Button>
              }
            >
              Search looks in names, types and where models came from.
            </EmptyState>
          ) : (
            <EmptyState
              icon={<Layers aria-hidden size={22} />}
              title="No language models yet"
              action={importButton}
            >
              A model reads text, and what it computes on the way is what SAEs are trained on. Import one by
              its name on the hub or from a folder in Hugging Face’s layout.
            </EmptyState>
          )}
        </div>
      )}
      <ListEnd
        shown={items.length}
        total={models.data?.pages[0]?.total ?? 0}
        more={models.hasNextPage}
        loading={models.isFetchingNextPage}
        onMore={() => void models.fetchNextPage()}
      />
      <ImportModelDialog
        open={importing}
        onOpenChange={setImporting}
        onImported={(id) => router.push(`/models/${id}`)}
      />
    </>
  );
}
