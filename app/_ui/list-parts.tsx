"use client";

import type { ChoiceLook } from "../_data/list-filters.ts";
import { Button } from "./button.tsx";
import { Segmented } from "./choice.tsx";
import { formatCount } from "./format.ts";
import { SearchBox } from "./search-box.tsx";

/** Of an imported thing; the choices of its list. */
export const importStates = [
  { value: "all", label: "All" },
  { value: "ready", label: "Ready" },
  { value: "importing", label: "Importing" },
  { value: "failed", label: "Failed" },
] as const;
export type ImportState = (typeof importStates)[number]["value"];

/** Search and choice of a list. */
export function ListControls<Choice extends string>({
  label,
  choiceLabel,
  choices,
  filters: { text, choice },
  onChange,
}: {
  /** Of the search, e.g. "Search models". */
  label: string;
  /** What the choice is about. */
  choiceLabel: string;
  choices: readonly ChoiceLook<Choice>[];
  filters: { text: string; choice: Choice };
  onChange: (change: { text?: string; choice?: Choice }) => void;
}) {
  return (
    <div className="mb-3 flex flex-wrap items-center gap-x-4 gap-y-2">
      <SearchBox
        label={label}
        value={text}
        onChange={(next) => onChange({ text: next })}
        className="w-full sm:w-64"
      />
      <Segmented
        label={choiceLabel}
        value={choice}
        choices={choices}
        onChange={(next) => onChange({ choice: next })}
      />
    </div>
  );
}

/** How much of a list is shown, and the way to more. */
export function ListEnd({
  shown,
  total,
  more,
  loading,
  onMore,
}: {
  shown: number;
  total: number;
  more: boolean;
  loading: boolean;
  onMore: () => void;
}) {
  if (shown === 0) return null;
  return (
    <div className="mt-3 flex items-center justify-between gap-4 text-xs text-ink-2">
      <span className="num">
        {formatCount(shown)} of {formatCount(total)}
      </span>
      {more ? (
        <Button size="small" disabled={loading} onClick={onMore}>
          Load more
        </Button>
      ) : null}
    </div>
  );
}
