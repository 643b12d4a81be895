"use client";

import Link from "next/link";
import type { ModelSummary } from "../../server/models/views.ts";
import { formatBytes, formatCompact, formatCount, noValue } from "../_ui/format.ts";
import { RelativeTime } from "../_ui/relative-time.tsx";
import { PlainHeader, type Sort, SortHeader } from "../_ui/table-header.tsx";
import { WorkState } from "../_ui/work-state.tsx";
import { sourceWords, usesWords } from "./model-words.ts";
import { useModelActions } from "./use-model-actions.ts";

export const modelSortFields = ["created_at", "name", "parameters", "bytes"] as const;
export type ModelField = (typeof modelSortFields)[number];
export type ModelSort = Sort<ModelField>;

function sizeOf({ n_layers, d_model }: ModelSummary): string {
  return n_layers === null || d_model === null ? noValue : `${n_layers} × ${formatCount(d_model)}`;
}

function count(value: number | null): string {
  return value === null ? noValue : formatCount(value);
}

function Row({ model }: { model: ModelSummary }) {
  const { cancel, retry, pending } = useModelActions();
  const { id, name, status, origin, model_type, parameters, n_ctx, bytes, uses } = model;
  const ready = status === "ready";
  const from = origin === name ? sourceWords(model.source) : origin;
  const cell = "hidden px-3 py-2.5 text-right align-middle whitespace-nowrap";
  return (
    <tbody className="group relative border-t border-line transition-colors duration-75 hover:bg-hover/60">
      <tr>
        <td className="w-[36%] max-w-0 py-2.5 pr-3 pl-4 align-middle max-sm:w-full max-sm:pr-4">
          <Link
            href={`/models/${id}`}
            title={name}
            className="block truncate font-medium after:absolute after:inset-0 focus-visible:outline-none focus-visible:after:rounded-md focus-visible:after:outline-2 focus-visible:after:-outline-offset-2 focus-visible:after:outline-accent"
          >
            {name}
          </Link>
          <span className="block truncate text-xs text-ink-3" title={origin}>
            {model_type === null ? "" : `${model_type} · `}
            {from}
          </span>
          {ready ? (
            <span className="num mt-1.5 flex flex-wrap gap-x-3 text-xs text-ink-2 md:hidden">
              <span>{formatCompact(parameters ?? 0)}</span>
              <span>{sizeOf(model)}</span>
              <span>{formatBytes(bytes ?? 0)}</span>
            </span>
          ) : null}
        </td>
        <td className={`${cell} num md:table-cell`}>
          {parameters === null ? noValue : formatCompact(parameters)}
        </td>
        <td className={`${cell} num md:table-cell`}>{sizeOf(model)}</td>
        <td className={`${cell} num lg:table-cell`}>{count(n_ctx)}</td>
        <td className={`${cell} num text-ink-2 lg:table-cell`}>
          {bytes === null ? noValue : formatBytes(bytes)}
        </td>
        <td className="hidden max-w-56 truncate px-3 py-2.5 align-middle text-xs text-ink-2 xl:table-cell">
          {usesWords(uses) ?? <span className="text-ink-3">{ready ? "Not used yet" : noValue}</span>}
        </td>
        <td className={`${cell} pr-4 text-ink-2 md:table-cell`}>
          <RelativeTime iso={model.created_at} />
        </td>
      </tr>
      {ready ? null : (
        <tr>
          <td colSpan={7} className="px-4 pb-3">
            <WorkState
              status={status}
              what={`Import of ${name}`}
              progress={model.progress}
              reason={model.reason}
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

/** Models as rows; the whole row is the link. Narrow screens keep name, parameters, layers × width and size. */
export function ModelTable({
  items,
  sort,
  onSort,
}: {
  items: readonly ModelSummary[];
  sort: ModelSort;
  onSort: (sort: ModelSort) => void;
}) {
  return (
    <table className="w-full">
      <thead className="bg-sunken/60 text-left text-xs text-ink-3">
        <tr>
          <SortHeader field="name" sort={sort} onSort={onSort}>
            Name
          </SortHeader>
          <SortHeader
            field="parameters"
            first="desc"
            sort={sort}
            onSort={onSort}
            className="hidden text-right md:table-cell"
          >
            Parameters
          </SortHeader>
          <PlainHeader className="hidden text-right md:table-cell">Layers × width</PlainHeader>
          <PlainHeader className="hidden text-right lg:table-cell">Context</PlainHeader>
          <SortHeader
            field="bytes"
            first="desc"
            sort={sort}
            onSort={onSort}
            className="hidden text-right lg:table-cell"
          >
            Size
          </SortHeader>
          <PlainHeader className="hidden xl:table-cell">Used by</PlainHeader>
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
      {items.map((model) => (
        <Row key={model.id} model={model} />
      ))}
    </table>
  );
}
