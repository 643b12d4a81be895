"use client";

import Link from "next/link";
import type { DatasetSummary } from "../../server/datasets/views.ts";
import { formatBytes, formatCompact, formatCount, noValue } from "../_ui/format.ts";
import { RelativeTime } from "../_ui/relative-time.tsx";
import { PlainHeader, type Sort, SortHeader } from "../_ui/table-header.tsx";
import { WorkState } from "../_ui/work-state.tsx";
import { sourceWords } from "./dataset-words.ts";
import { useDatasetActions } from "./use-dataset-actions.ts";

export const datasetSortFields = ["created_at", "name", "n_documents", "bytes"] as const;
export type DatasetField = (typeof datasetSortFields)[number];
export type DatasetSort = Sort<DatasetField>;

function Row({ dataset }: { dataset: DatasetSummary }) {
  const { cancel, retry, pending } = useDatasetActions();
  const { id, name, status, origin, n_documents, n_characters, bytes, tokenizations } = dataset;
  const ready = status === "ready";
  const cell = "hidden px-3 py-2.5 text-right align-middle whitespace-nowrap";
  return (
    <tbody className="group relative border-t border-line transition-colors duration-75 hover:bg-hover/60">
      <tr>
        <td className="w-[40%] max-w-0 py-2.5 pr-3 pl-4 align-middle max-sm:w-full max-sm:pr-4">
          <Link
            href={`/datasets/${id}`}
            title={name}
            className="block truncate font-medium after:absolute after:inset-0 focus-visible:outline-none focus-visible:after:rounded-md focus-visible:after:outline-2 focus-visible:after:-outline-offset-2 focus-visible:after:outline-accent"
          >
            {name}
          </Link>
          <span className="block truncate text-xs text-ink-3" title={origin}>
            {origin === name ? sourceWords(dataset.source) : origin}
          </span>
          {ready ? (
            <span className="num mt-1.5 flex flex-wrap gap-x-3 text-xs text-ink-2 md:hidden">
              <span>{formatCompact(n_documents ?? 0)} documents</span>
              <span>{formatBytes(bytes ?? 0)}</span>
            </span>
          ) : null}
        </td>
        <td className={`${cell} num md:table-cell`}>
          {n_documents === null ? noValue : formatCount(n_documents)}
        </td>
        <td className={`${cell} num md:table-cell`}>
          {n_characters === null ? noValue : formatCompact(n_characters)}
        </td>
        <td className={`${cell} num text-ink-2 lg:table-cell`}>
          {bytes === null ? noValue : formatBytes(bytes)}
        </td>
        <td className={`${cell} num lg:table-cell`}>
          {tokenizations === 0 ? <span className="text-ink-3">{noValue}</span> : formatCount(tokenizations)}
        </td>
        <td className={`${cell} pr-4 text-ink-2 md:table-cell`}>
          <RelativeTime iso={dataset.created_at} />
        </td>
      </tr>
      {ready ? null : (
        <tr>
          <td colSpan={6} className="px-4 pb-3">
            <WorkState
              status={status}
              what={`Import of ${name}`}
              progress={dataset.progress}
              reason={dataset.reason}
              pending={pending}
              onCancel={() => cancel.mutate({ id })}
              onRetry={() => retry.mutate({ id })}
              className="relative z-10"
            />
          </td>
        </tr>
      )}
    </tbody>
  );
}

/** Datasets as rows; the whole row is the link. Narrow screens keep name, documents and size. */
export function DatasetTable({
  items,
  sort,
  onSort,
}: {
  items: readonly DatasetSummary[];
  sort: DatasetSort;
  onSort: (sort: DatasetSort) => void;
}) {
  return (
    <table className="w-full">
      <thead className="bg-sunken/60 text-left text-xs text-ink-3">
        <tr>
          <SortHeader field="name" sort={sort} onSort={onSort}>
            Name
          </SortHeader>
          <SortHeader
            field="n_documents"
            first="desc"
            sort={sort}
            onSort={onSort}
            className="hidden text-right md:table-cell"
          >
            Documents
          </SortHeader>
          <PlainHeader className="hidden text-right md:table-cell">Characters</PlainHeader>
          <SortHeader
            field="bytes"
            first="desc"
            sort={sort}
            onSort={onSort}
            className="hidden text-right lg:table-cell"
          >
            Size
          </SortHeader>
          <PlainHeader className="hidden text-right lg:table-cell">Tokenizations</PlainHeader>
          <SortHeader
            field="created_at"
            first="desc"
            sort={sort}
            onSort={onSort}
            className="hidden text-right md:table-cell"
          >
            Age
          </SortHeader>
        </tr>
      </thead>
      {items.map((dataset) => (
        <Row key={dataset.id} dataset={dataset} />
      ))}
    </table>
  );
}
