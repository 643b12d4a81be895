"use client";

import { Combobox } from "@base-ui/react/combobox";
import { Check, Search } from "lucide-react";
import { useId, useState } from "react";
import type { HookPoint } from "../../gpu/lm/hook-points.ts";
import { Button } from "../_ui/button.tsx";
import { classNames } from "../_ui/class-names.ts";
import { formatCount } from "../_ui/format.ts";
import { InfoTip } from "../_ui/info-tip.tsx";
import { FieldFrame, inputClass } from "../_ui/text-field.tsx";
import { hookMatches } from "./hook-choice.ts";

/** As many as a capture takes at once. */
const mostHooks = 64;

/** Chooses several of a model's hook points from a list that a search narrows; kept in the model's order. */
export function HookList({
  points,
  chosen,
  fault,
  onChoose,
}: {
  points: readonly HookPoint[];
  chosen: readonly string[];
  fault: string | undefined;
  onChoose: (names: string[]) => void;
}) {
  const id = useId();
  const [query, setQuery] = useState("");
  const names = points.map(({ name }) => name);
  const widths = new Map(points.map(({ name, width }) => [name, width]));
  const shown = names.filter((name) => hookMatches(name, query.trim()));
  const ordered = (wanted: readonly string[]) => names.filter((name) => wanted.includes(name));
  const all = ordered([...chosen, ...shown]);
  return (
    <FieldFrame
      id={id}
      label="Hook points"
      fault={fault}
      className="col-span-full"
      aside={
        <>
          <InfoTip
            about="Hook points"
            explanation={{
              help: "Places in the model whose activations are stored, by TransformerLens’ names. One pass of the model serves them all; each becomes an activation set.",
              source: "TransformerLens",
            }}
          />
          <span className="num ml-auto text-xs text-ink-3">
            {chosen.length} of {names.length}
          </span>
        </>
      }
    >
      <Combobox.Root<string, true>
        multiple
        inline
        open
        items={names}
        value={[...chosen]}
        inputValue={query}
        filter={(name, typed) => hookMatches(name, typed.trim())}
        onValueChange={(next) => onChoose(ordered(next))}
        onInputValueChange={(text, { reason }) => {
          // A choice leaves the search as it is, so that more of what it found can be chosen.
          if (reason === "input-change" || reason === "input-clear") setQuery(text);
        }}
      >
        <div
          className={classNames(
            "overflow-hidden rounded-md border",
            fault ? "border-bad" : "border-line-strong",
          )}
        >
          <div className="flex items-center gap-1 border-b border-line bg-surface pr-1">
            <div className="relative min-w-0 flex-1">
              <Search
                aria-hidden
                size={14}
                className="pointer-events-none absolute top-1/2 left-2.5 -translate-y-1/2 text-ink-3"
              />
              <Combobox.Input
                id={id}
                placeholder="Search: resid_post, mlp 5"
                aria-invalid={fault ? true : undefined}
                aria-describedby={fault ? `${id}-note` : undefined}
                spellCheck={false}
                className={classNames(
                  inputClass(false, true),
                  "border-transparent pl-8 hover:border-transparent focus-visible:-outline-offset-2",
                )}
                onKeyDown={(event) => {
                  // Escape closes the dialog only when there is no search to clear.
                  if (event.key !== "Escape" || query === "") return;
                  event.stopPropagation();
                  setQuery("");
                }}
              />
            </div>
            <Button
              look="ghost"
              size="small"
              disabled={shown.length === 0 || all.length === chosen.length || all.length > mostHooks}
              title={all.length > mostHooks ? `At most ${mostHooks} at once` : undefined}
              onClick={() => onChoose(all)}
            >
              Choose {query.trim() === "" ? "all" : `these ${shown.length}`}
            </Button>
            <Button look="ghost" size="small" disabled={chosen.length === 0} onClick={() => onChoose([])}>
              Clear
            </Button>
          </div>
          <Combobox.Empty>
            <span className="block px-3 py-3 text-ink-2">
              The model has no such hook point. Try “resid”, “mlp” or a layer’s number.
            </span>
          </Combobox.Empty>
          <Combobox.List
            aria-label="Hook points of the model"
            className="max-h-44 overflow-y-auto bg-surface p-1 empty:hidden"
          >
            {(name: string) => (
              <Combobox.Item
                key={name}
                value={name}
                className="group flex cursor-pointer items-center gap-2 rounded-md px-2 py-1 outline-none data-highlighted:bg-hover"
              >
                <span
                  aria-hidden
                  className="inline-flex size-4 shrink-0 items-center justify-center rounded border border-line-strong text-on-accent group-data-selected:border-accent group-data-selected:bg-accent"
                >
                  <Combobox.ItemIndicator>
                    <Check size={12} strokeWidth={3} />
                  </Combobox.ItemIndicator>
                </span>
                <span className="num min-w-0 flex-1 break-all">{name}</span>
                <span className="num text-xs text-ink-3">{formatCount(widths.get(name) ?? 0)}</span>
              </Combobox.Item>
            )}
          </Combobox.List>
        </div>
      </Combobox.Root>
    </FieldFrame>
  );
}
