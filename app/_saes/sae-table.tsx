"use client";

import Link from "next/link";
import type { SaeSummary } from "../../server/saes/views.ts";
import { formatBytes, formatMetric, noValue } from "../_ui/format.ts";
import { RelativeTime } from "../_ui/relative-time.tsx";
import { PlainHeader, type Sort, SortHeader } from "../_ui/table-header.tsx";
import { architectureName, provenance, widthsOf } from "./sae-words.ts";

export const saeSortFields = ["created_at", "name", "fvu", "l0"] as const;
export type SaeSort = Sort<(typeof saeSortFields)[number]>;

function State({ sae }: { sae: SaeSummary }) {
  if (sae.status === "importing") return <span className="text-accent">Importing</span>;
  if (sae.status === "failed") return <span className="text-bad">Import failed</span>;
  return null;
}

function Row({ sae }: { sae: SaeSummary }) {
  const where = [sae.model_name, sae.hook_name].filter(Boolean).join(" · ");
  const l0 = sae.l0 === null ? noValue : sae.l0.toFixed(1);
  return (
    <tr className="group relative border-t border-line transition-colors duration-75 hover:bg-hover/60">
      <td className="w-[38%] max-w-0 py-2.5 pr-3 pl-4 align-middle max-sm:w-full max-sm:pr-4">
        <Link
          href={`/saes/${sae.id}`}
          title={sae.name}
          className="block truncate font-medium after:absolute after:inset-0 focus-visible:outline-none focus-visible:after:rounded-md focus-visible:after:outline-2 focus-visible:after:-outline-offset-2 focus-visible:after:outline-accent"
        >
          {sae.name}
        </Link>
        <span className="block truncate text-xs text-ink-3">
          <State sae={sae} />
          {sae.status === "ready" ? (
            <>
              <span className="lg:hidden">{architectureName(sae.architecture)} · </span>
              {where || "Origin unknown"}
            </>
          ) : null}
        </span>
        <span className="num mt-1.5 flex flex-wrap gap-x-3 text-xs text-ink-2 md:hidden">
          <span>{widthsOf(sae)}</span>
          <span>FVU {formatMetric(sae.fvu)}</span>
          <span>L0 {l0}</span>
        </span>
      </td>
      <td className="hidden px-3 py-2.5 align-middle lg:table-cell">
        <span className="block text-xs text-ink-3">{architectureName(sae.architecture)}</span>
        <span className="num text-xs whitespace-nowrap">{widthsOf(sae)}</span>
      </td>
      <td className="num hidden px-3 py-2.5 text-right align-middle md:table-cell">{l0}</td>
      <td className="num hidden px-3 py-2.5 text-right align-middle md:table-cell">
        {formatMetric(sae.fvu)}
      </td>
      <td className="hidden px-3 py-2.5 align-middle whitespace-nowrap text-ink-2 sm:table-cell">
        {provenance(sae)}
      </td>
      <td className="num hidden px-3 py-2.5 text-right align-middle whitespace-nowrap text-ink-2 lg:table-cell">
        {sae.bytes === null ? noValue : formatBytes(sae.bytes)}
      </td>
      <td className="hidden py-2.5 pr-4 pl-3 text-right align-middle whitespace-nowrap text-ink-2 md:table-cell">
        <RelativeTime iso={sae.created_at} />
      </td>
    </tr>
  );
}

/** SAEs as rows; the whole row is the link. Narrow screens keep name, widths, L0 and FVU. */
export function SaeTable({
  items,
  sort,
  onSort,
}: {
  items: readonly SaeSummary[];
  sort: SaeSort;
  onSort: (sort: SaeSort) => void;
}) {
  return (
    <table className="w-full">
      <thead className="bg-sunken/60 text-left text-xs text-ink-3">
        <tr>
          <SortHeader field="name" sort={sort} onSort={onSort}>
            Name
          </SortHeader>
          <PlainHeader className="hidden lg:table-cell">Dictionary</PlainHeader>
          <SortHeader field="l0" sort={sort} onSort={onSort} className="hidden text-right md:table-cell">
            L0
          </SortHeader>
          <SortHeader field="fvu" sort={sort} onSort={onSort} className="hidden text-right md:table-cell">
            FVU
          </SortHeader>
          <PlainHeader className="hidden sm:table-cell">From</PlainHeader>
          <PlainHeader className="hidden text-right lg:table-cell">Size</PlainHeader>
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
      <tbody>
        {items.map((sae) => (
          <Row key={sae.id} sae={sae} />
        ))}
      </tbody>
    </table>
  );
}
