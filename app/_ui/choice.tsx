"use client";

import { Select } from "@base-ui/react/select";
import { Toggle } from "@base-ui/react/toggle";
import { ToggleGroup } from "@base-ui/react/toggle-group";
import { Check, ChevronDown } from "lucide-react";
import type { ReactNode } from "react";
import { classNames } from "./class-names.ts";

export interface Choice<T extends string> {
  value: T;
  label: string;
  /** Second line in the list. */
  detail?: string;
}

/** A list to choose one of. */
export function SelectBox<T extends string>({
  id,
  label,
  value,
  choices,
  onChange,
  className,
  invalid = false,
  describedBy,
  placeholder,
}: {
  id?: string;
  /** Accessible name, where no <label> points here. */
  label?: string;
  value: T | null;
  choices: readonly Choice<T>[];
  onChange: (value: T) => void;
  className?: string;
  invalid?: boolean;
  describedBy?: string | undefined;
  placeholder?: string;
}) {
  return (
    <Select.Root<T> items={choices} value={value} onValueChange={(next) => next !== null && onChange(next)}>
      <Select.Trigger
        {...(id ? { id } : {})}
        aria-label={label}
        aria-invalid={invalid || undefined}
        aria-describedby={describedBy}
        className={classNames(
          "flex h-8 w-full min-w-0 items-center justify-between gap-2 rounded-md border bg-surface px-2.5 text-left text-sm hover:border-ink-3",
          invalid ? "border-bad" : "border-line-strong",
          className,
        )}
      >
        <Select.Value className="min-w-0 truncate data-placeholder:text-ink-3" placeholder={placeholder} />
        <Select.Icon className="text-ink-3">
          <ChevronDown aria-hidden size={14} />
        </Select.Icon>
      </Select.Trigger>
      <Select.Portal>
        <Select.Positioner
          alignItemWithTrigger={false}
          sideOffset={4}
          collisionPadding={12}
          className="z-60 outline-none"
        >
          <Select.Popup className="max-h-[min(22rem,var(--available-height))] min-w-[var(--anchor-width)] overflow-y-auto rounded-lg border border-line-strong bg-surface p-1 shadow-pop outline-none">
            {choices.map((choice) => (
              <Select.Item
                key={choice.value}
                value={choice.value}
                className="flex cursor-pointer items-start gap-2 rounded-md px-2 py-1.5 outline-none data-highlighted:bg-hover"
              >
                <span className="mt-0.5 size-3.5 shrink-0">
                  <Select.ItemIndicator>
                    <Check aria-hidden size={14} />
                  </Select.ItemIndicator>
                </span>
                <span className="min-w-0">
                  <Select.ItemText className="block">{choice.label}</Select.ItemText>
                  {choice.detail ? <span className="block text-xs text-ink-3">{choice.detail}</span> : null}
                </span>
              </Select.Item>
            ))}
          </Select.Popup>
        </Select.Positioner>
      </Select.Portal>
    </Select.Root>
  );
}

/** Two to four choices side by side, one of them pressed. */
export function Segmented<T extends string>({
  label,
  value,
  choices,
  onChange,
  compact = false,
}: {
  label: string;
  value: T | null;
  choices: readonly {
    value: T;
    label: string;
    icon?: ReactNode;
    /** Why it cannot be chosen. */
    disabled?: string;
  }[];
  onChange: (value: T) => void;
  /** Icons alone; labels become accessible names. */
  compact?: boolean;
}) {
  return (
    <ToggleGroup
      aria-label={label}
      value={value === null ? [] : [value]}
      onValueChange={(values) => {
        const next = choices.find((choice) => choice.value === values.at(-1));
        if (next) onChange(next.value);
      }}
      className="inline-flex rounded-md border border-line bg-sunken p-0.5"
    >
      {choices.map((choice) => (
        <Toggle
          key={choice.value}
          value={choice.value}
          aria-label={compact ? choice.label : undefined}
          title={choice.disabled ?? (compact ? choice.label : undefined)}
          disabled={choice.disabled !== undefined}
          className={classNames(
            "inline-flex items-center justify-center gap-1.5 rounded-[5px] whitespace-nowrap text-ink-2 transition-colors duration-100 hover:text-ink data-pressed:bg-surface data-pressed:text-ink data-pressed:shadow-[0_0_0_1px_var(--line-strong)] disabled:opacity-45 disabled:hover:text-ink-2",
            compact ? "size-6" : "h-7 px-2.5 sm:px-3",
          )}
        >
          {choice.icon}
          {compact ? null : choice.label}
        </Toggle>
      ))}
    </ToggleGroup>
  );
}
