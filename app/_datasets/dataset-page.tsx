"use client";

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRouter } from "next/navigation";
import type { DatasetDetail } from "../../server/datasets/views.ts";
import { type Tile, Tiles } from "../_charts/metric-tiles.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { useVisible } from "../_data/use-visible.ts";
import { usesWords } from "../_models/model-words.ts";
import { useSystemStatus } from "../_shell/connection-state.tsx";
import { TokenizationPanel } from "../_tokenizations/tokenization-panel.tsx";
import { classNames } from "../_ui/class-names.ts";
import { DeleteThing } from "../_ui/delete-thing.tsx";
import { formatBytes, formatCompact, formatCount } from "../_ui/format.ts";
import { OnePage } from "../_ui/page-states.tsx";
import { ThingHeader } from "../_ui/thing-header.tsx";
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
  return (
    <OnePage what="dataset" query={query} back={{ href: "/datasets", label: "Go to the datasets" }}>
      {(dataset) => <Page dataset={dataset} />}
    </OnePage>
  );
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
  const { name, origin, source, status, bytes, tokenizations } = dataset;
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
    <ThingHeader
      list={{ href: "/datasets", label: "Datasets" }}
      from={sourceWords(source)}
      name={name}
      actions={
        status === "importing" ? null : (
          <DeleteThing thing={dataset} remove={remove}>
            {used === null
              ? `${bytes === null ? "What was taken in so far goes" : `Its ${formatBytes(bytes)} of text go`} with it. What it was imported from stays.`
              : `It is used by ${used}. What uses it must be deleted first.`}
          </DeleteThing>
        )
      }
    >
      {origin === name || source.kind === "sample" ? null : (
        <p className="num mt-0.5 text-xs break-all text-ink-2">{origin}</p>
      )}
    </ThingHeader>
  );
}
