"use client";

import { usePathname, useSearchParams } from "next/navigation";
import { useCallback, useMemo } from "react";
import type { Sort } from "../_ui/table-header.tsx";

/** What a list is narrowed and ordered by. */
export interface ListFilters<Choice extends string, Field extends string> {
  text: string;
  choice: Choice;
  sort: Sort<Field>;
}

export interface ChoiceLook<Choice extends string> {
  value: Choice;
  label: string;
}

/** What may be chosen of a list. */
export interface ListShape<Choice extends string, Field extends string> {
  /** Name of the choice in the address. */
  param: string;
  /** The first stands for all. */
  choices: readonly [ChoiceLook<Choice>, ...ChoiceLook<Choice>[]];
  fields: readonly Field[];
  /** How it is sorted when nothing else is asked for. */
  standard: Sort<Field>;
}

function readFilters<Choice extends string, Field extends string>(
  params: URLSearchParams,
  { param, choices, fields, standard }: ListShape<Choice, Field>,
): ListFilters<Choice, Field> {
  const [by, direction] = (params.get("sort") ?? "").split(".");
  const field = fields.find((name) => name === by);
  return {
    text: params.get("q") ?? "",
    choice: (choices.find(({ value }) => value === params.get(param)) ?? choices[0]).value,
    sort: field ? { by: field, direction: direction === "asc" ? "asc" : "desc" } : standard,
  };
}

function writeFilters<Choice extends string, Field extends string>(
  { text, choice, sort }: ListFilters<Choice, Field>,
  { param, choices, standard }: ListShape<Choice, Field>,
): string {
  const params = new URLSearchParams();
  if (text) params.set("q", text);
  if (choice !== choices[0].value) params.set(param, choice);
  if (sort.by !== standard.by || sort.direction !== standard.direction)
    params.set("sort", `${sort.by}.${sort.direction}`);
  return params.toString();
}

/** Filters of a list, kept in the address so that they can be shared and survive a reload. `shape` is a constant. */
export function useListFilters<Choice extends string, Field extends string>(
  shape: ListShape<Choice, Field>,
): [ListFilters<Choice, Field>, (change: Partial<ListFilters<Choice, Field>>) => void] {
  const params = useSearchParams();
  const pathname = usePathname();
  const filters = useMemo(() => readFilters(params, shape), [params, shape]);
  const change = useCallback(
    (part: Partial<ListFilters<Choice, Field>>) => {
      // Read anew: two changes may come before the page is drawn again.
      const current = readFilters(new URLSearchParams(window.location.search), shape);
      const query = writeFilters({ ...current, ...part }, shape);
      window.history.replaceState(null, "", query ? `${pathname}?${query}` : pathname);
    },
    [pathname, shape],
  );
  return [filters, change];
}
