"use client";

import { useInfiniteQuery } from "@tanstack/react-query";
import { SearchX } from "lucide-react";
import type { SearchMatch } from "../../server/datasets/views.ts";
import { LoadFailure } from "../_data/load-failure.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { Button } from "../_ui/button.tsx";
import { formatCount } from "../_ui/format.ts";
import { EmptyState } from "../_ui/panel.tsx";
import { SkeletonRows } from "../_ui/skeleton.tsx";

function Excerpt({ match }: { match: SearchMatch }) {
  const { excerpt, excerpt_start, start, length, cut } = match;
  const end = excerpt_start + length;
  return (
    <p className="break-words whitespace-pre-wrap">
      {start > excerpt_start ? <span className="text-ink-3">… </span> : null}
      {excerpt.slice(0, excerpt_start)}
      <mark className="rounded-[3px] bg-accent-soft px-0.5 font-medium text-accent">
        {excerpt.slice(excerpt_start, end)}
      </mark>
      {excerpt.slice(end)}
      {cut ? <span className="text-ink-3"> …</span> : null}
    </p>
  );
}

/** Documents that hold a text, as far as was looked; the search goes on where it stopped. */
export function FoundDocuments({
  id,
  text,
  total,
  onShow,
}: {
  id: string;
  text: string;
  total: number;
  onShow: (index: number) => void;
}) {
  const trpc = useTRPC();
  const search = useInfiniteQuery(
    trpc.datasets.search.infiniteQueryOptions(
      { id, text, limit: 20 },
      {
        initialCursor: 0,
        getNextPageParam: ({ next }) => next,
        staleTime: Number.POSITIVE_INFINITY,
      },
    ),
  );
  const pages = search.data?.pages ?? [];
  const matches = pages.flatMap((page) => page.matches);
  const searched = pages.reduce((sum, page) => sum + page.searched, 0);
  if (search.isError && matches.length === 0) {
    return (
      <div className="p-4">
        <LoadFailure what="The search" error={search.error} onRetry={() => void search.refetch()} />
      </div>
    );
  }
  if (search.isPending) return <SkeletonRows rows={4} />;
  return (
    <>
      {matches.length === 0 && !search.hasNextPage ? (
        <EmptyState icon={<SearchX aria-hidden size={22} />} title="No document holds this">
          It is looked for as it is written, whatever its capitals.
        </EmptyState>
      ) : (
        <ul>
          {matches.map((match) => (
            <li key={match.index} className="flex gap-4 border-t border-line px-4 py-3 first:border-t-0">
              <div className="min-w-0 flex-1">
                <h3 className="num mb-0.5 text-xs text-ink-3">#{formatCount(match.index)}</h3>
                <Excerpt match={match} />
              </div>
              <Button size="small" onClick={() => onShow(match.index)}>
                Show<span className="sr-only"> document {formatCount(match.index)}</span>
              </Button>
            </li>
          ))}
        </ul>
      )}
      <div className="flex items-center justify-between gap-4 border-t border-line px-4 py-2.5 text-xs text-ink-2">
        <span className="num" role="status">
          {formatCount(matches.length)} found in {formatCount(searched)} of {formatCount(total)} documents
        </span>
        {search.hasNextPage ? (
          <Button
            size="small"
            disabled={search.isFetchingNextPage}
            onClick={() => void search.fetchNextPage()}
          >
            {search.isFetchingNextPage ? "Searching…" : "Search on"}
          </Button>
        ) : null}
      </div>
    </>
  );
}
