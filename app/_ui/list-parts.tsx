"use client";

import type { WorkState } from "../_data/work-list-filters.ts";
import { Button } from "./button.tsx";
import { Segmented } from "./choice.tsx";
import { formatCount } from "./format.ts";
import { SearchBox } from "./search-box.tsx";

/** Search and state of a list of imported things. */
export function ListControls({
  label,
  filters: { text, state },
  onChange,
}: {
  /** Of the search, e.g. "Search models". */
  label: string;
  filters: { text: string; state: WorkState };
  onChange: (change: { text?: string; state?: WorkState }) => void;
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
        label="State"
        value={state}
        choices={[
          { value: "all", label: "All" },
          { value: "ready", label: "Ready" },
          { value: "importing", label: "Importing" },
          { value: "failed", label: "Failed" },
        ]}
        onChange={(next) => onChange({ state: next })}
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
