"use client";

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { ChevronRight, Trash2 } from "lucide-react";
import Link from "next/link";
import { useRouter } from "next/navigation";
import { useEffect, useState } from "react";
import type { DatasetDetail } from "../../server/datasets/views.ts";
import { type Tile, Tiles } from "../_charts/metric-tiles.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { useVisible } from "../_data/use-visible.ts";
import { usesWords } from "../_models/model-words.ts";
import { useSystemStatus } from "../_shell/connection-state.tsx";
import { TokenizationPanel } from "../_tokenizations/tokenization-panel.tsx";
import { Button } from "../_ui/button.tsx";
import { classNames } from "../_ui/class-names.ts";
import { ConfirmDialog } from "../_ui/dialog.tsx";
import { formatBytes, formatCompact, formatCount } from "../_ui/format.ts";
import { PageFailure, PageSkeleton } from "../_ui/page-states.tsx";
import { useToasts } from "../_ui/toasts.tsx";
import { WorkState } from "../_ui/work-state.tsx";
import { DatasetFactPanels } from "./dataset-facts.tsx";
import { datasetExplanations, sourceWords } from "./dataset-words.ts";
import { Documents } from "./documents.tsx";
import { FailedImport } from "./failed-import.tsx";
import { useDatasetActions } from "./use-dataset-actions.ts";

const busyRefreshMs = 700;

/** One dataset: what it holds, its documents, what was tokenized of it. */
export function DatasetPage({ id }: { id: string }) {
  const trpc = useTRPC();
  const visible = useVisible();
  const query = useQuery(
    trpc.datasets.get.queryOptions(
      { id },
      {
        refetchInterval: ({ state }) =>
          visible && state.data?.status === "importing" ? busyRefreshMs : false,
      },
    ),
  );
  const dataset = query.data;
  useEffect(() => {
    document.title = `${dataset?.name ?? "Dataset"} · Facet`;
  }, [dataset?.name]);
  if (query.isError && !dataset) {
    return (
      <PageFailure
        what="dataset"
        error={query.error}
        back={{ href: "/datasets", label: "Go to the datasets" }}
        onRetry={() => void query.refetch()}
      />
    );
  }
  return dataset ? <Page dataset={dataset} /> : <PageSkeleton what="dataset" />;
}

function tilesOf({ n_documents, n_characters, statistics }: DatasetDetail): Tile[] {
  const documents = n_documents ?? 0;
  const characters = n_characters ?? 0;
  const tiles: Tile[] = [
    { label: "Documents", explanation: datasetExplanations.documents, value: formatCount(documents) },
    {
      label: "Characters",
      explanation: datasetExplanations.characters,
      value: characters < 1e6 ? formatCount(characters) : formatCompact(characters),
    },
    {
      label: "Mean length",
      explanation: datasetExplanations.mean,
      value: formatCount(documents === 0 ? 0 : characters / documents),
      detail: "characters",
    },
  ];
  if (statistics === null) return tiles;
  const { duplicates } = statistics;
  return [
    ...tiles,
    {
      label: "Duplicates",
      explanation: datasetExplanations.duplicates,
      value: formatCount(duplicates.count),
      ...(duplicates.among < documents ? { detail: `of the first ${formatCompact(duplicates.among)}` } : {}),
    },
  ];
}

function Page({ dataset }: { dataset: DatasetDetail }) {
  const system = useSystemStatus();
  const { cancel, retry, pending } = useDatasetActions();
  const { id, name, status } = dataset;
  const ready = status === "ready";
  return (
    <article>
      <Header dataset={dataset} />
      {status === "failed" ? null : (
        <WorkState
          status={status}
          what={`Import of ${name}`}
          progress={dataset.progress}
          reason={dataset.reason}
          pending={pending}
          onCancel={() => cancel.mutate({ id })}
          onRetry={() => retry.mutate({ id })}
          className="mb-5"
        />
      )}
      {ready ? (
        <div className="mb-4">
          <Tiles label="Sizes" tiles={tilesOf(dataset)} />
        </div>
      ) : null}
      <div
        className={classNames(
          "grid items-start gap-4",
          status === "importing" ? "max-w-2xl" : "lg:grid-cols-[minmax(0,1fr)_22rem]",
        )}
      >
        {status === "failed" ? <FailedImport key={dataset.reason} dataset={dataset} /> : null}
        {ready ? (
          <div className="flex min-w-0 flex-col gap-4">
            <TokenizationPanel of={{ kind: "dataset", id }} />
            <Documents id={id} total={dataset.n_documents ?? 0} />
          </div>
        ) : null}
        <div className="flex min-w-0 flex-col gap-4">
          <DatasetFactPanels dataset={dataset} home={system.data?.home ?? null} />
        </div>
      </div>
    </article>
  );
}

function Header({ dataset }: { dataset: DatasetDetail }) {
  const trpc = useTRPC();
  const router = useRouter();
  const queryClient = useQueryClient();
  const { succeed } = useToasts();
  const [deleting, setDeleting] = useState(false);
  const { id, name, origin, source, status, bytes, tokenizations } = dataset;
  const remove = useMutation(
    trpc.datasets.delete.mutationOptions({
      onSuccess: async () => {
        succeed("Dataset deleted", name);
        router.push("/datasets");
        await queryClient.invalidateQueries({ queryKey: trpc.datasets.list.pathKey() });
      },
    }),
  );
  const used = usesWords({ tokenizations });
  return (
    <header className="mb-5 flex flex-wrap items-start justify-between gap-x-6 gap-y-3">
      <div className="min-w-0">
        <nav aria-label="Breadcrumb" className="mb-0.5 flex items-center gap-1 text-xs text-ink-3">
          <Link href="/datasets" className="hover:text-ink">
            Datasets
          </Link>
          <ChevronRight aria-hidden size={12} />
          <span className="truncate">{sourceWords(source)}</span>
        </nav>
        <h1 className="text-xl font-semibold tracking-tight break-words">{name}</h1>
        {origin === name || source.kind === "sample" ? null : (
          <p className="num mt-0.5 text-xs break-all text-ink-2">{origin}</p>
        )}
      </div>
      {status === "importing" ? null : (
        <Button
          look="ghost"
          onClick={() => {
            remove.reset();
            setDeleting(true);
          }}
        >
          <Trash2 aria-hidden size={14} />
          <span className="max-sm:sr-only">Delete</span>
        </Button>
      )}
      <ConfirmDialog
        open={deleting}
        onOpenChange={setDeleting}
        title={`Delete “${name}”?`}
        act="Delete"
        pending={remove.isPending}
        error={remove.error?.message ?? null}
        onConfirm={() => remove.mutate({ id })}
      >
        {used === null
          ? `${bytes === null ? "What was taken in so far goes" : `Its ${formatBytes(bytes)} of text go`} with it. What it was imported from stays.`
          : `It is used by ${used}. What uses it must be deleted first.`}
      </ConfirmDialog>
    </header>
  );
}
