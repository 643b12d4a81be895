"use client";

import { ArrowDown, ArrowUp, ChevronsUpDown } from "lucide-react";
import type { ReactNode } from "react";
import { classNames } from "./class-names.ts";

export interface Sort<Field extends string> {
  by: Field;
  direction: "asc" | "desc";
}

/** The head of a column that the list can be sorted by; a second press turns the order round. */
export function SortHeader<Field extends string>({
  field,
  sort,
  first = "asc",
  onSort,
  children,
  className,
}: {
  field: Field;
  sort: Sort<Field>;
  /** Direction of the first press. */
  first?: "asc" | "desc";
  onSort: (sort: Sort<Field>) => void;
  children: ReactNode;
  className?: string;
}) {
  const current = sort.by === field;
  const Arrow = !current ? ChevronsUpDown : sort.direction === "asc" ? ArrowUp : ArrowDown;
  const next = current && sort.direction === "desc" ? "asc" : "desc";
  return (
    <th
      scope="col"
      aria-sort={current ? (sort.direction === "asc" ? "ascending" : "descending") : undefined}
      className={classNames("px-3 py-0 font-normal first:pl-4 last:pr-4", className)}
    >
      <button
        type="button"
        onClick={() => onSort({ by: field, direction: current ? next : first })}
        className={classNames("inline-flex h-8 items-center gap-1 hover:text-ink", current && "text-ink")}
      >
        {children}
        <Arrow aria-hidden size={12} className={current ? "" : "opacity-50"} />
      </button>
    </th>
  );
}

export function PlainHeader({ children, className }: { children: ReactNode; className?: string }) {
  return (
    <th scope="col" className={classNames("px-3 font-normal last:pr-4", className)}>
      {children}
    </th>
  );
}
