"use client";

import { Switch } from "@base-ui/react/switch";
import { RotateCcw } from "lucide-react";
import { useId } from "react";
import { IconButton } from "../_ui/button.tsx";
import { SelectBox } from "../_ui/choice.tsx";
import { InfoTip } from "../_ui/info-tip.tsx";
import { FieldFrame, TextField } from "../_ui/text-field.tsx";
import type { OptionField } from "./schema-fields.ts";

/** The words that explain an option, for its "i". */
export function optionExplanation(field: OptionField) {
  const note = [field.bounds, field.nullable ? "may be empty" : null].filter(Boolean).join("; ");
  return { help: field.help, source: field.source ?? undefined, note: note || undefined, formula: undefined };
}

/** One option of a described schema: the control that fits its type. */
export function OptionInput({
  field,
  value,
  changed,
  whenEmpty = null,
  fault,
  onChange,
  onReset,
}: {
  field: OptionField;
  /** As text; "true" and "false" for switches. */
  value: string;
  /** Whether it differs from its default. */
  changed: boolean;
  /** What it comes to when it is left empty; null: nothing. */
  whenEmpty?: string | null;
  fault: string | undefined;
  onChange: (text: string) => void;
  onReset: () => void;
}) {
  const id = useId();
  const aside = (
    <>
      <InfoTip about={field.label} explanation={optionExplanation(field)} />
      {changed ? (
        <IconButton label={`Reset ${field.label}`} className="ml-auto size-5" onClick={onReset}>
          <RotateCcw aria-hidden size={12} />
        </IconButton>
      ) : null}
    </>
  );
  if (field.kind === "boolean") {
    return (
      <FieldFrame id={id} label={field.label} aside={aside} fault={fault}>
        <div className="flex h-8 items-center">
          <Switch.Root
            id={id}
            checked={value === "true"}
            onCheckedChange={(checked) => onChange(String(checked))}
            className="flex h-5 w-9 items-center rounded-full bg-line-strong p-0.5 transition-colors duration-100 data-checked:bg-accent"
          >
            <Switch.Thumb className="size-4 rounded-full bg-surface transition-transform duration-100 data-checked:translate-x-4" />
          </Switch.Root>
          <span aria-hidden className="ml-2 text-xs text-ink-3">
            {value === "true" ? "on" : "off"}
          </span>
        </div>
      </FieldFrame>
    );
  }
  if (field.kind === "choice") {
    return (
      <FieldFrame id={id} label={field.label} aside={aside} fault={fault}>
        <SelectBox
          id={id}
          value={value}
          invalid={Boolean(fault)}
          describedBy={fault ? `${id}-note` : undefined}
          choices={field.choices.map((choice) => ({ value: choice, label: choice }))}
          onChange={onChange}
        />
      </FieldFrame>
    );
  }
  const numeric = field.kind !== "text";
  return (
    <TextField
      id={id}
      label={field.label}
      aside={aside}
      fault={fault}
      unit={field.unit}
      numeric={numeric}
      name={field.key}
      inputMode={field.kind === "integer" ? "numeric" : numeric ? "decimal" : "text"}
      placeholder={field.nullable ? (whenEmpty ?? "none") : ""}
      value={value}
      onChange={onChange}
    />
  );
}
