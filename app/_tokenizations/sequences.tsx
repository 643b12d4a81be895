"use client";

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { SequenceView } from "../../server/tokens/views.ts";
import { LoadFailure } from "../_data/load-failure.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { formatCount } from "../_ui/format.ts";
import { Pager } from "../_ui/pager.tsx";
import { EmptyState, Panel } from "../_ui/panel.tsx";
import { SkeletonRows } from "../_ui/skeleton.tsx";
import { type PlacedToken, TokenChips, TokenLegend } from "./token-chips.tsx";

const together = 5;

function placed({ tokens, documents }: SequenceView): PlacedToken[] {
  return tokens.map((token, position) => {
    const span = documents.find(({ first, last }) => first <= position && position <= last);
    return {
      ...token,
      document: span?.document ?? null,
      offset: span === undefined ? null : span.offset + position - span.first,
    };
  });
}

/** The stored sequences, token by token. */
export function Sequences({ id, total }: { id: string; total: number }) {
  const trpc = useTRPC();
  const [start, setStart] = useState(0);
  const page = useQuery(
    trpc.tokenizations.sequences.queryOptions(
      { id, start, count: together },
      { placeholderData: keepPreviousData, staleTime: 60_000 },
    ),
  );
  const sequences = page.data?.sequences ?? [];
  return (
    <Panel
      title="Sequences"
      flush
      aside={
        total > 0 ? (
          <Pager
            what="sequence"
            start={start}
            shown={page.isPlaceholderData ? together : sequences.length}
            total={total}
            step={together}
            onGo={setStart}
          />
        ) : null
      }
    >
      {page.isError ? (
        <div className="p-4">
          <LoadFailure what="The sequences" error={page.error} onRetry={() => void page.refetch()} />
        </div>
      ) : page.isPending ? (
        <SkeletonRows rows={5} />
      ) : sequences.length === 0 ? (
        <EmptyState title="No sequence is full">
          The dataset has too few tokens for one sequence. Tokenize it with a smaller context size, or let the
          last sequence be padded.
        </EmptyState>
      ) : (
        <>
          <div className="border-b border-line px-4 py-2">
            <TokenLegend />
          </div>
          <ol>
            {sequences.map((sequence) => (
              <li key={sequence.index} className="border-t border-line px-4 py-3 first:border-t-0">
                <h3 className="mb-1.5 flex items-center gap-2 text-xs text-ink-3">
                  <span className="num">Sequence {formatCount(sequence.index)}</span>
                  {sequence.held_out ? (
                    <span className="rounded bg-warn-soft px-1.5 text-2xs text-warn">held out</span>
                  ) : null}
                </h3>
                <TokenChips label={`Sequence ${sequence.index}`} tokens={placed(sequence)} />
              </li>
            ))}
          </ol>
        </>
      )}
    </Panel>
  );
}
