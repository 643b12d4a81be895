"use client";

import { usePathname, useSearchParams } from "next/navigation";
import { useCallback, useMemo } from "react";
import { type SaeSort, saeSortFields } from "./sae-table.tsx";

export const saeKinds = ["all", "trained", "imported"] as const;
export type SaeKind = (typeof saeKinds)[number];

export interface SaeFilters {
  text: string;
  kind: SaeKind;
  sort: SaeSort;
}

const standard: SaeSort = { by: "created_at", direction: "desc" };

function readFilters(params: URLSearchParams): SaeFilters {
  const [by, direction] = (params.get("sort") ?? "").split(".");
  const field = saeSortFields.find((name) => name === by);
  return {
    text: params.get("q") ?? "",
    kind: saeKinds.find((one) => one === params.get("kind")) ?? "all",
    sort: field ? { by: field, direction: direction === "asc" ? "asc" : "desc" } : standard,
  };
}

function writeFilters({ text, kind, sort }: SaeFilters): string {
  const params = new URLSearchParams();
  if (text) params.set("q", text);
  if (kind !== "all") params.set("kind", kind);
  if (sort.by !== standard.by || sort.direction !== standard.direction)
    params.set("sort", `${sort.by}.${sort.direction}`);
  return params.toString();
}

/** Filters of the list, kept in the address so that they can be shared and survive a reload. */
export function useSaeFilters(): [SaeFilters, (change: Partial<SaeFilters>) => void] {
  const params = useSearchParams();
  const pathname = usePathname();
  const filters = useMemo(() => readFilters(params), [params]);
  const change = useCallback(
    (part: Partial<SaeFilters>) => {
      // Read anew: two changes may come before the page is drawn again.
      const current = readFilters(new URLSearchParams(window.location.search));
      const query = writeFilters({ ...current, ...part });
      window.history.replaceState(null, "", query ? `${pathname}?${query}` : pathname);
    },
    [pathname],
  );
  return [filters, change];
}
