"use client";

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Activity, ChevronRight, ScanLine, Trash2 } from "lucide-react";
import Link from "next/link";
import { useRouter } from "next/navigation";
import { useEffect, useState } from "react";
import type { TokenizationView } from "../../server/tokens/views.ts";
import { useTRPC } from "../_data/trpc.ts";
import { useVisible } from "../_data/use-visible.ts";
import { usesWords } from "../_models/model-words.ts";
import { useSystemStatus } from "../_shell/connection-state.tsx";
import { Button, buttonClass } from "../_ui/button.tsx";
import { classNames } from "../_ui/class-names.ts";
import { ConfirmDialog } from "../_ui/dialog.tsx";
import { formatBytes } from "../_ui/format.ts";
import { PageFailure, PageSkeleton } from "../_ui/page-states.tsx";
import { useToasts } from "../_ui/toasts.tsx";
import { WorkState } from "../_ui/work-state.tsx";
import { Sequences } from "./sequences.tsx";
import { TokenCounts, TokenFactPanels } from "./token-facts.tsx";
import { optionsWords } from "./token-words.ts";
import { useTokenActions } from "./use-token-actions.ts";

const busyRefreshMs = 700;

/** One tokenization: what it is made of, and its sequences token by token. */
export function TokenizationPage({ id, datasetId }: { id: string; datasetId: string }) {
  const trpc = useTRPC();
  const visible = useVisible();
  const query = useQuery(
    trpc.tokenizations.get.queryOptions(
      { id },
      {
        refetchInterval: ({ state }) =>
          visible && state.data?.status === "tokenizing" ? busyRefreshMs : false,
      },
    ),
  );
  const tokenization = query.data;
  useEffect(() => {
    document.title = `${tokenization?.name ?? "Tokenization"} · Facet`;
  }, [tokenization?.name]);
  if (query.isError && !tokenization) {
    return (
      <PageFailure
        what="tokenization"
        error={query.error}
        back={{ href: `/datasets/${datasetId}`, label: "Go to the dataset" }}
        onRetry={() => void query.refetch()}
      />
    );
  }
  return tokenization ? <Page tokenization={tokenization} /> : <PageSkeleton what="tokenization" />;
}

function Page({ tokenization }: { tokenization: TokenizationView }) {
  const system = useSystemStatus();
  const { cancel, retry, pending } = useTokenActions();
  const { id, name, status } = tokenization;
  const ready = status === "ready";
  return (
    <article>
      <Header tokenization={tokenization} />
      <WorkState
        status={status}
        what={`Tokenizing ${name}`}
        progress={tokenization.progress}
        reason={tokenization.reason}
        pending={pending}
        onCancel={() => cancel.mutate({ id })}
        onRetry={() => retry.mutate({ id })}
        className="mb-5"
      />
      {ready ? <TokenCounts tokenization={tokenization} /> : null}
      <div
        className={classNames(
          "grid items-start gap-4",
          ready ? "lg:grid-cols-[minmax(0,1fr)_22rem]" : "max-w-2xl",
        )}
      >
        {ready ? <Sequences id={id} total={tokenization.n_sequences ?? 0} /> : null}
        <div className="flex min-w-0 flex-col gap-4">
          <TokenFactPanels tokenization={tokenization} home={system.data?.home ?? null} />
        </div>
      </div>
    </article>
  );
}

function Header({ tokenization }: { tokenization: TokenizationView }) {
  const trpc = useTRPC();
  const router = useRouter();
  const queryClient = useQueryClient();
  const { succeed } = useToasts();
  const [deleting, setDeleting] = useState(false);
  const { id, name, dataset, model, status, options, uses, bytes } = tokenization;
  const remove = useMutation(
    trpc.tokenizations.delete.mutationOptions({
      onSuccess: async () => {
        succeed("Tokenization deleted", name);
        router.push(`/datasets/${dataset.id}`);
        await queryClient.invalidateQueries({ queryKey: trpc.tokenizations.list.pathKey() });
      },
    }),
  );
  const used = usesWords(uses);
  return (
    <header className="mb-5 flex flex-wrap items-start justify-between gap-x-6 gap-y-3">
      <div className="min-w-0">
        <nav aria-label="Breadcrumb" className="mb-0.5 flex items-center gap-1 text-xs text-ink-3">
          <Link href="/datasets" className="hover:text-ink">
            Datasets
          </Link>
          <ChevronRight aria-hidden size={12} />
          <Link href={`/datasets/${dataset.id}`} className="truncate hover:text-ink">
            {dataset.name}
          </Link>
        </nav>
        <h1 className="text-xl font-semibold tracking-tight break-words">{name}</h1>
        <p className="mt-0.5 text-ink-2">
          {model.name}, {optionsWords(options)}
        </p>
      </div>
      <div className="flex flex-wrap items-center gap-2">
        {status === "ready" ? (
          <>
            <Link
              href={`/activations?capture=1&model=${model.id}&tokenization=${id}`}
              className={buttonClass("primary")}
            >
              <ScanLine aria-hidden size={14} />
              Capture activations
            </Link>
            <Link href={`/runs/new?model=${model.id}&tokenization=${id}`} className={buttonClass()}>
              <Activity aria-hidden size={14} />
              Train live
            </Link>
          </>
        ) : null}
        {status === "tokenizing" ? null : (
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
      </div>
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
          ? `${bytes === null ? "What was made of it so far goes" : `Its ${formatBytes(bytes)} of tokens go`} with it. The dataset and the model stay.`
          : `It is used by ${used}. What uses it must be deleted first.`}
      </ConfirmDialog>
    </header>
  );
}
