"use client";

import { Collapsible } from "@base-ui/react/collapsible";
import { ChevronRight } from "lucide-react";
import { OptionInput } from "./option-input.tsx";
import { grouped, type OptionField, type OptionValue, readValue, writeValue } from "./schema-fields.ts";

/** What was typed, by option; an option that is not here stands at its default. */
export type Typed = Readonly<Record<string, string>>;

/** Defaults of this very form, before those of the schema. */
export type FormDefaults = Readonly<Record<string, OptionValue | undefined>>;

function shownDefault(field: OptionField, defaults: FormDefaults): string {
  return writeValue(field.key in defaults ? defaults[field.key] : field.default);
}

/** Typed text over form defaults over schema defaults, as values for the schema to judge. */
export function optionValues(
  fields: readonly OptionField[],
  typed: Typed,
  defaults: FormDefaults,
): Record<string, OptionValue | undefined> {
  return Object.fromEntries(
    fields.map((field) => {
      const text = typed[field.key];
      const standing = field.key in defaults ? defaults[field.key] : field.default;
      if (text === undefined) return [field.key, standing];
      return [field.key, field.kind === "boolean" ? text === "true" : readValue(field, text)];
    }),
  );
}

interface OptionFormProps {
  fields: readonly OptionField[];
  typed: Typed;
  defaults: FormDefaults;
  /** What an option that is left empty comes to, in words; null where that is nothing. */
  automatic?: (key: string) => string | null;
  /** Faults by option. */
  faults: ReadonlyMap<string, string>;
  onChange: (typed: Typed) => void;
}

function OptionGrid({ fields, typed, defaults, automatic, faults, onChange }: OptionFormProps) {
  return (
    <div className="grid gap-x-5 gap-y-4 sm:grid-cols-2 lg:grid-cols-3">
      {fields.map((field) => {
        const standing = shownDefault(field, defaults);
        const value = typed[field.key] ?? standing;
        return (
          <OptionInput
            key={field.key}
            field={field}
            value={value}
            changed={value !== standing}
            whenEmpty={field.nullable && value === "" ? (automatic?.(field.key) ?? null) : null}
            fault={faults.get(field.key)}
            onChange={(text) => onChange({ ...typed, [field.key]: text })}
            onReset={() => {
              const { [field.key]: _removed, ...rest } = typed;
              onChange(rest);
            }}
          />
        );
      })}
    </div>
  );
}

/** The options of a schema: the essential ones in sight, the others in groups that open. */
export function OptionForm({ essential, ...form }: OptionFormProps & { essential: readonly string[] }) {
  const first = essential.flatMap((key) => form.fields.filter((field) => field.key === key));
  const others = form.fields.filter(({ key }) => !essential.includes(key));
  return (
    <>
      <div className="p-4">
        <OptionGrid {...form} fields={first} />
      </div>
      {grouped(others).map(({ group, fields }) => (
        <OptionGroup key={group} group={group} {...form} fields={fields} />
      ))}
    </>
  );
}

function OptionGroup({ group, ...form }: OptionFormProps & { group: string }) {
  const { fields, typed, defaults, faults } = form;
  const faulty = fields.filter(({ key }) => faults.has(key)).length;
  const changed = fields.filter((field) => {
    const text = typed[field.key];
    return text !== undefined && text !== shownDefault(field, defaults);
  }).length;
  const names = fields.map(({ label }) => label).join(", ");
  return (
    <Collapsible.Root className="border-t border-line" defaultOpen={faulty > 0}>
      <Collapsible.Trigger className="group flex w-full items-center gap-2 px-4 py-2.5 text-left hover:bg-hover/60 focus-visible:-outline-offset-2">
        <ChevronRight
          aria-hidden
          size={14}
          className="shrink-0 text-ink-3 transition-transform duration-100 group-data-panel-open:rotate-90"
        />
        <span className="font-medium whitespace-nowrap">{group}</span>
        <span className="min-w-0 flex-1 truncate text-xs text-ink-3 group-data-panel-open:invisible">
          {names}
        </span>
        {faulty > 0 ? <span className="text-xs whitespace-nowrap text-bad">{faulty} to correct</span> : null}
        {changed > 0 ? (
          <span className="text-xs whitespace-nowrap text-accent">{changed} changed</span>
        ) : null}
      </Collapsible.Trigger>
      <Collapsible.Panel>
        <div className="px-4 pt-1 pb-5">
          <OptionGrid {...form} />
        </div>
      </Collapsible.Panel>
    </Collapsible.Root>
  );
}
