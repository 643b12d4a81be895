"use client";

import { usePathname, useSearchParams } from "next/navigation";
import { useCallback, useMemo } from "react";
import type { Sort } from "../_ui/table-header.tsx";

export const workStates = ["all", "ready", "importing", "failed"] as const;
export type WorkState = (typeof workStates)[number];

/** What a list of imported things is narrowed and ordered by. */
export interface WorkFilters<Field extends string> {
  text: string;
  state: WorkState;
  sort: Sort<Field>;
}

function readFilters<Field extends string>(
  params: URLSearchParams,
  fields: readonly Field[],
  standard: Sort<Field>,
): WorkFilters<Field> {
  const [by, direction] = (params.get("sort") ?? "").split(".");
  const field = fields.find((name) => name === by);
  return {
    text: params.get("q") ?? "",
    state: workStates.find((one) => one === params.get("state")) ?? "all",
    sort: field ? { by: field, direction: direction === "asc" ? "asc" : "desc" } : standard,
  };
}

function writeFilters<Field extends string>(
  { text, state, sort }: WorkFilters<Field>,
  standard: Sort<Field>,
): string {
  const params = new URLSearchParams();
  if (text) params.set("q", text);
  if (state !== "all") params.set("state", state);
  if (sort.by !== standard.by || sort.direction !== standard.direction)
    params.set("sort", `${sort.by}.${sort.direction}`);
  return params.toString();
}

/** Filters of a list, kept in the address so that they can be shared and survive a reload. Both arguments are constants. */
export function useWorkFilters<Field extends string>(
  fields: readonly Field[],
  standard: Sort<Field>,
): [WorkFilters<Field>, (change: Partial<WorkFilters<Field>>) => void] {
  const params = useSearchParams();
  const pathname = usePathname();
  const filters = useMemo(() => readFilters(params, fields, standard), [params, fields, standard]);
  const change = useCallback(
    (part: Partial<WorkFilters<Field>>) => {
      // Read anew: two changes may come before the page is drawn again.
      const current = readFilters(new URLSearchParams(window.location.search), fields, standard);
      const query = writeFilters({ ...current, ...part }, standard);
      window.history.replaceState(null, "", query ? `${pathname}?${query}` : pathname);
    },
    [pathname, fields, standard],
  );
  return [filters, change];
}
