"use client";

import { Combobox } from "@base-ui/react/combobox";
import { Check, ChevronDown } from "lucide-react";
import { type ReactNode, useId } from "react";
import type { HookPoint } from "../../gpu/lm/hook-points.ts";
import { classNames } from "../_ui/class-names.ts";
import { formatCount } from "../_ui/format.ts";
import { FieldFrame, inputClass } from "../_ui/text-field.tsx";
import { hookMatches } from "./hook-choice.ts";

/** Chooses one of a model's hook points, by typing a part of its name or from the list. */
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
        // While what stands there is what is chosen, all of the list is offered.
        filter={(name, query) => query === value || hookMatches(name, query)}
        onValueChange={(name) => {
          if (name !== null) onChange(name);
        }}
      >
        <Combobox.InputGroup className="relative">
          <Combobox.Input
            id={id}
            placeholder="Choose a hook point"
            aria-invalid={fault ? true : undefined}
            aria-describedby={fault || hint ? `${id}-note` : undefined}
            spellCheck={false}
            className={classNames(inputClass(Boolean(fault), true), "pr-8")}
          />
          <Combobox.Trigger
            aria-label={`Show the choices of ${label}`}
            className="absolute inset-y-0 right-0 inline-flex w-8 items-center justify-center text-ink-3 hover:text-ink"
          >
            <ChevronDown aria-hidden size={14} />
          </Combobox.Trigger>
        </Combobox.InputGroup>
        <Combobox.Portal>
          <Combobox.Positioner sideOffset={4} collisionPadding={12} className="z-60 outline-none">
            <Combobox.Popup className="max-h-[min(22rem,var(--available-height))] w-[max(var(--anchor-width),16rem)] max-w-[calc(100vw-1.5rem)] overflow-y-auto rounded-lg border border-line-strong bg-surface p-1 shadow-pop outline-none">
              <Combobox.Empty>
                <span className="block px-3 py-2 text-ink-2">
                  The model has no such hook point. Try “resid”, “mlp” or a layer’s number.
                </span>
              </Combobox.Empty>
              <Combobox.List>
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
                    <span className="num min-w-0 flex-1 break-all">{name}</span>
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
