"use client";

import { usePathname, useSearchParams } from "next/navigation";
import { useCallback, useMemo } from "react";
import { type Architecture, architectures } from "../../gpu/sae/architecture.ts";
import type { RunStatus } from "../../server/runs/views.ts";
import { runStatuses } from "./status-badge.tsx";

export const sortFields = ["created_at", "name", "status", "fvu"] as const;
export type SortField = (typeof sortFields)[number];

export interface ListFilters {
  text: string;
  status: readonly RunStatus[];
  /** Null: all of them. */
  architecture: Architecture | null;
  sort: { by: SortField; direction: "asc" | "desc" };
}

const standard: ListFilters["sort"] = { by: "created_at", direction: "desc" };

function readFilters(params: URLSearchParams): ListFilters {
  const wanted = params.get("status")?.split(",") ?? [];
  const [by, direction] = (params.get("sort") ?? "").split(".");
  const field = sortFields.find((name) => name === by);
  return {
    text: params.get("q") ?? "",
    status: runStatuses.filter((status) => wanted.includes(status)),
    architecture: architectures.find((one) => one === params.get("architecture")) ?? null,
    sort: field ? { by: field, direction: direction === "asc" ? "asc" : "desc" } : standard,
  };
}

function writeFilters({ text, status, architecture, sort }: ListFilters): string {
  const params = new URLSearchParams();
  if (text) params.set("q", text);
  if (status.length > 0) params.set("status", status.join(","));
  if (architecture) params.set("architecture", architecture);
  if (sort.by !== standard.by || sort.direction !== standard.direction)
    params.set("sort", `${sort.by}.${sort.direction}`);
  return params.toString().replaceAll("%2C", ",");
}

/** Filters of the list, kept in the address so that they can be shared and survive a reload. */
export function useListFilters(): [ListFilters, (change: Partial<ListFilters>) => void] {
  const params = useSearchParams();
  const pathname = usePathname();
  const filters = useMemo(() => readFilters(params), [params]);
  const change = useCallback(
    (part: Partial<ListFilters>) => {
      // Read anew: two changes may come before the page is drawn again.
      const current = readFilters(new URLSearchParams(window.location.search));
      const query = writeFilters({ ...current, ...part });
      window.history.replaceState(null, "", query ? `${pathname}?${query}` : pathname);
    },
    [pathname],
  );
  return [filters, change];
}
