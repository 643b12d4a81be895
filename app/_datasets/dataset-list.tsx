"use client";

import { useInfiniteQuery } from "@tanstack/react-query";
import { Download, LibraryBig, SearchX } from "lucide-react";
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
import { type DatasetField, DatasetTable, datasetSortFields } from "./dataset-table.tsx";
import { ImportDatasetDialog } from "./import-dialog.tsx";

const shape: ListShape<ImportState, DatasetField> = {
  param: "state",
  choices: importStates,
  fields: datasetSortFields,
  standard: { by: "created_at", direction: "desc" },
};

function useDatasets({ text, choice, sort }: ListFilters<ImportState, DatasetField>) {
  const trpc = useTRPC();
  const visible = useVisible();
  return useInfiniteQuery(
    trpc.datasets.list.infiniteQueryOptions(
      { ...(text ? { text } : {}), ...(choice === "all" ? {} : { status: [choice] }), sort, limit: 50 },
      importingList(visible),
    ),
  );
}

/** The datasets: what is here, what is on its way, and how another comes in. */
export function DatasetList() {
  const router = useRouter();
  const [filters, setFilters] = useListFilters(shape);
  const [importing, setImporting] = useState(false);
  const datasets = useDatasets(filters);
  const items = datasets.data?.pages.flatMap((page) => page.items) ?? [];
  const filtered = filters.text !== "" || filters.choice !== "all";
  const bare = !datasets.isPending && !datasets.isError && items.length === 0 && !filtered;
  const importButton = (
    <Button look="primary" onClick={() => setImporting(true)}>
      <Download aria-hidden size={14} />
      Import a dataset
    </Button>
  );
  return (
    <>
      <PageHeader title="Datasets" actions={bare ? null : importButton} />
      {bare ? null : (
        <ListControls
          label="Search datasets"
          choiceLabel="State"
          choices={importStates}
          filters={filters}
          onChange={setFilters}
        />
      )}
      {datasets.isError && items.length === 0 ? (
        <LoadFailure what="The datasets" error={datasets.error} onRetry={() => void datasets.refetch()} />
      ) : (
        <div className="overflow-hidden rounded-lg border border-line bg-surface">
          {datasets.isPending ? (
            <SkeletonRows rows={4} />
          ) : items.length > 0 ? (
            <DatasetTable items={items} sort={filters.sort} onSort={(sort) => setFilters({ sort })} />
          ) : filtered ? (
            <EmptyState
              icon={<SearchX aria-hidden size={22} />}
              title="No dataset matches"
              action={
                <Button onClick={() => setFilters({ text: "", choice: "all" })}>
                  Clear search and filter
                </Button>
              }
            >
              Search looks in names and where datasets came from.
            </EmptyState>
          ) : (
            <EmptyState
              icon={<LibraryBig aria-hidden size={22} />}
              title="No datasets yet"
              action={importButton}
            >
              A dataset is text in documents, which a model’s tokenizer turns into the sequences that it
              reads. Import one from the hub, from files on the server, or upload a file.
            </EmptyState>
          )}
        </div>
      )}
      <ListEnd
        shown={items.length}
        total={datasets.data?.pages[0]?.total ?? 0}
        more={datasets.hasNextPage}
        loading={datasets.isFetchingNextPage}
        onMore={() => void datasets.fetchNextPage()}
      />
      <ImportDatasetDialog
        open={importing}
        onOpenChange={setImporting}
        onImported={(id) => router.push(`/datasets/${id}`)}
      />
    </>
  );
}
