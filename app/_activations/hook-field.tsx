"use client";

import { Combobox } from "@base-ui/react/combobox";
import { Check, ChevronDown, Search } from "lucide-react";
import { type ReactNode, useId } from "react";
import type { HookPoint } from "../../gpu/lm/hook-points.ts";
import { classNames } from "../_ui/class-names.ts";
import { formatCount } from "../_ui/format.ts";
import { FieldFrame, inputClass } from "../_ui/text-field.tsx";
import { hookMatches } from "./hook-choice.ts";
import { HookName } from "./hook-name.tsx";

/**
 * Chooses one of a model's hook points from a list that can be searched. The search stands in the list's own box: a list
 * beside an input of the page would hide the rest of the page from screen readers while it is open.
 */
export function HookField({
  label,
  points,
  value,
  fault,
  hint,
  aside,
  className,
  onChange,
}: {
  label: string;
  points: readonly HookPoint[];
  value: string | null;
  fault?: string | undefined;
  hint?: ReactNode;
  aside?: ReactNode;
  className?: string;
  onChange: (name: string) => void;
}) {
  const id = useId();
  const widths = new Map(points.map(({ name, width }) => [name, width]));
  return (
    <FieldFrame id={id} label={label} fault={fault} hint={hint} aside={aside} className={className}>
      <Combobox.Root<string>
        items={points.map(({ name }) => name)}
        value={value}
        autoHighlight
        filter={hookMatches}
        onValueChange={(name) => {
          if (name !== null) onChange(name);
        }}
      >
        <Combobox.Trigger
          id={id}
          aria-invalid={fault ? true : undefined}
          aria-describedby={fault || hint ? `${id}-note` : undefined}
          className={classNames(
            inputClass(Boolean(fault), true),
            "flex items-center justify-between gap-2 text-left",
          )}
        >
          <span className={classNames("min-w-0 truncate", value === null && "text-ink-3")}>
            {value ?? "Choose a hook point"}
          </span>
          <ChevronDown aria-hidden size={14} className="shrink-0 text-ink-3" />
        </Combobox.Trigger>
        <Combobox.Portal>
          <Combobox.Positioner sideOffset={4} collisionPadding={12} className="z-60 outline-none">
            <Combobox.Popup
              aria-label={label}
              className="flex max-h-[min(24rem,var(--available-height))] w-[max(var(--anchor-width),16rem)] max-w-[calc(100vw-1.5rem)] flex-col overflow-hidden rounded-lg border border-line-strong bg-surface shadow-pop outline-none"
            >
              <div className="relative border-b border-line">
                <Search
                  aria-hidden
                  size={14}
                  className="pointer-events-none absolute top-1/2 left-3 -translate-y-1/2 text-ink-3"
                />
                <Combobox.Input
                  aria-label="Filter hook points"
                  placeholder="Filter hook points"
                  spellCheck={false}
                  className="h-9 w-full bg-transparent pr-3 pl-9 outline-none placeholder:text-ink-3"
                />
              </div>
              <Combobox.Empty>
                <span className="block px-3 py-2.5 text-ink-2">
                  The model has no such hook point. Try “resid”, “mlp” or a layer’s number.
                </span>
              </Combobox.Empty>
              <Combobox.List className="min-h-0 overflow-y-auto p-1 empty:hidden">
                {(name: string) => (
                  <Combobox.Item
                    key={name}
                    value={name}
                    className="flex cursor-pointer items-center gap-2 rounded-md px-2 py-1.5 outline-none data-highlighted:bg-hover"
                  >
                    <span className="size-3.5 shrink-0">
                      <Combobox.ItemIndicator>
                        <Check aria-hidden size={14} />
                      </Combobox.ItemIndicator>
                    </span>
                    <span className="min-w-0 flex-1">
                      <HookName name={name} />
                    </span>
                    <span className="num text-xs text-ink-3">{formatCount(widths.get(name) ?? 0)}</span>
                  </Combobox.Item>
                )}
              </Combobox.List>
            </Combobox.Popup>
          </Combobox.Positioner>
        </Combobox.Portal>
      </Combobox.Root>
    </FieldFrame>
  );
}
