"use client";

import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { SquareSplitHorizontal } from "lucide-react";
import Link from "next/link";
import { useRouter } from "next/navigation";
import { useState } from "react";
import type { TokenizationView } from "../../server/tokens/views.ts";
import { LoadFailure } from "../_data/load-failure.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { useVisible } from "../_data/use-visible.ts";
import { Button } from "../_ui/button.tsx";
import { formatCompact, formatCount } from "../_ui/format.ts";
import { ListEnd } from "../_ui/list-parts.tsx";
import { EmptyState, Panel } from "../_ui/panel.tsx";
import { RelativeTime } from "../_ui/relative-time.tsx";
import { SkeletonRows } from "../_ui/skeleton.tsx";
import { WorkState } from "../_ui/work-state.tsx";
import { optionsWords, tokensPage } from "./token-words.ts";
import { TokenizeDialog } from "./tokenize-dialog.tsx";
import { useTokenActions } from "./use-token-actions.ts";

const busyRefreshMs = 700;
const idleRefreshMs = 15_000;

/** Whose tokenizations are listed. */
export type TokenizationsOf =
  /** `tokenizer`: whether it has one. */
  { kind: "model"; id: string; tokenizer: boolean } | { kind: "dataset"; id: string };

function useTokenizations(of: TokenizationsOf) {
  const trpc = useTRPC();
  const visible = useVisible();
  return useInfiniteQuery(
    trpc.tokenizations.list.infiniteQueryOptions(
      { ...(of.kind === "model" ? { model_id: of.id } : { dataset_id: of.id }), limit: 20 },
      {
        getNextPageParam: (page) => page.next_cursor,
        placeholderData: keepPreviousData,
        refetchInterval: (query) => {
          if (!visible) return false;
          const busy = query.state.data?.pages.some(({ items }) =>
            items.some(({ status }) => status === "tokenizing"),
          );
          return busy ? busyRefreshMs : idleRefreshMs;
        },
      },
    ),
  );
}

function Row({ tokenization, of }: { tokenization: TokenizationView; of: TokenizationsOf }) {
  const { cancel, retry, pending } = useTokenActions();
  const { id, name, status, options, n_text_tokens, n_sequences, model, dataset } = tokenization;
  const ready = status === "ready";
  return (
    <li className="relative border-t border-line px-4 py-2.5 transition-colors duration-75 first:border-t-0 hover:bg-hover/60">
      <div className="flex items-center gap-x-6">
        <div className="min-w-0 flex-1">
          <Link
            href={tokensPage(tokenization)}
            className="block truncate font-medium after:absolute after:inset-0 focus-visible:outline-none focus-visible:after:rounded-md focus-visible:after:outline-2 focus-visible:after:-outline-offset-2 focus-visible:after:outline-accent"
          >
            {name}
          </Link>
          <p className="text-xs text-ink-3">
            {of.kind === "model" ? dataset.name : model.name}: {optionsWords(options)}
            {of.kind === "model" && of.id !== model.id ? `, by the same tokenizer in ${model.name}` : null}
          </p>
        </div>
        {ready ? (
          <dl className="num shrink-0 text-right">
            <div>
              <dt className="sr-only">Text tokens</dt>
              <dd>
                {formatCompact(n_text_tokens ?? 0)} <span className="text-xs text-ink-3">tokens</span>
              </dd>
            </div>
            <div className="text-xs text-ink-3 max-sm:hidden">
              <dt className="sr-only">Sequences</dt>
              <dd>{formatCount(n_sequences ?? 0)} sequences</dd>
            </div>
          </dl>
        ) : null}
        <span className="w-12 shrink-0 text-right text-ink-2 max-sm:hidden">
          <RelativeTime iso={tokenization.created_at} />
        </span>
      </div>
      {ready ? null : (
        <WorkState
          status={status}
          what={`Tokenizing ${name}`}
          progress={tokenization.progress}
          reason={tokenization.reason}
          pending={pending}
          onCancel={() => cancel.mutate({ id })}
          onRetry={() => retry.mutate({ id })}
          className="relative z-10 mt-2"
        />
      )}
    </li>
  );
}

/** The tokenizations of a dataset, or those that a model's tokenizer made. */
export function TokenizationPanel({ of }: { of: TokenizationsOf }) {
  const router = useRouter();
  const [asking, setAsking] = useState(false);
  const list = useTokenizations(of);
  const items = list.data?.pages.flatMap((page) => page.items) ?? [];
  const can = of.kind === "dataset" || of.tokenizer;
  const button = (look: "primary" | "plain") => (
    <Button look={look} size={look === "primary" ? "normal" : "small"} onClick={() => setAsking(true)}>
      <SquareSplitHorizontal aria-hidden size={14} />
      {of.kind === "dataset" ? "Tokenize" : "Tokenize a dataset"}
    </Button>
  );
  return (
    <Panel title="Tokenizations" flush aside={can && items.length > 0 ? button("plain") : null}>
      {list.isError && items.length === 0 ? (
        <div className="p-4">
          <LoadFailure what="The tokenizations" error={list.error} onRetry={() => void list.refetch()} />
        </div>
      ) : list.isPending ? (
        <SkeletonRows rows={2} />
      ) : items.length > 0 ? (
        <>
          <ul>
            {items.map((tokenization) => (
              <Row key={tokenization.id} tokenization={tokenization} of={of} />
            ))}
          </ul>
          {list.hasNextPage ? (
            <div className="border-t border-line px-4 pb-3">
              <ListEnd
                shown={items.length}
                total={list.data?.pages[0]?.total ?? 0}
                more
                loading={list.isFetchingNextPage}
                onMore={() => void list.fetchNextPage()}
              />
            </div>
          ) : null}
        </>
      ) : (
        <EmptyState
          title={of.kind === "dataset" ? "Not tokenized yet" : "Nothing is tokenized for this model yet"}
          action={can ? button("primary") : null}
        >
          {can
            ? "A tokenization is a dataset as the sequences of tokens that a model reads. Captures and live training take their tokens from it."
            : "The model came without a tokenizer.json, so no text can be turned into its tokens. Import it again from a place that has one."}
        </EmptyState>
      )}
      <TokenizeDialog
        given={of}
        open={asking}
        onOpenChange={setAsking}
        onBegun={(begun) => router.push(tokensPage(begun))}
      />
    </Panel>
  );
}
