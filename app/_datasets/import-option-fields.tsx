"use client";

import { Collapsible } from "@base-ui/react/collapsible";
import { ChevronRight } from "lucide-react";
import { SelectBox } from "../_ui/choice.tsx";
import { InfoTip } from "../_ui/info-tip.tsx";
import { FieldFrame, TextField } from "../_ui/text-field.tsx";
import { datasetExplanations } from "./dataset-words.ts";
import { type SplitChoice, standardImport, type TypedImport } from "./import-options.ts";

const splits: { value: SplitChoice; label: string }[] = [
  { value: "auto", label: "Automatic" },
  { value: "file", label: "A file each" },
  { value: "blank-line", label: "At blank lines" },
  { value: "line", label: "A line each" },
  { value: "separator", label: "At a separator" },
];

interface Fields {
  typed: TypedImport;
  faults: ReadonlyMap<string, string>;
  onChange: (part: Partial<TypedImport>) => void;
}

/** How the source is read: folded away, because what is automatic fits most. */
export function ImportOptionFields(fields: Fields) {
  const changed = (Object.keys(standardImport) as (keyof TypedImport)[]).some(
    (key) => fields.typed[key] !== standardImport[key],
  );
  return (
    <Collapsible.Root className="mt-3">
      <Collapsible.Trigger className="group -ml-1 flex items-center gap-1.5 rounded-md px-1 py-0.5 text-xs text-ink-2 hover:text-ink">
        <ChevronRight
          aria-hidden
          size={13}
          className="text-ink-3 transition-transform duration-100 group-data-panel-open:rotate-90"
        />
        Text column, documents, limits
        {changed ? <span className="text-accent">changed</span> : null}
      </Collapsible.Trigger>
      <Collapsible.Panel className="pt-2">
        <ReadingFields {...fields} />
      </Collapsible.Panel>
    </Collapsible.Root>
  );
}

/** The same, laid open. */
export function ReadingFields({ typed, faults, onChange }: Fields) {
  const tip = (about: string, key: keyof typeof datasetExplanations) => (
    <InfoTip about={about} explanation={datasetExplanations[key]} />
  );
  return (
    <div className="grid gap-x-5 gap-y-4 sm:grid-cols-2">
      <TextField
        id="dataset-text-column"
        label="Text column"
        numeric
        placeholder="automatic"
        value={typed.text_column}
        aside={tip("Text column", "text_column")}
        onChange={(text_column) => onChange({ text_column })}
      />
      <FieldFrame
        id="dataset-split-on"
        label="Documents in plain text"
        aside={tip("Documents in plain text", "split_on")}
      >
        <SelectBox
          id="dataset-split-on"
          value={typed.split_on}
          choices={splits}
          onChange={(split_on) => onChange({ split_on })}
        />
      </FieldFrame>
      {typed.split_on === "separator" ? (
        <TextField
          id="dataset-separator"
          label="Separator"
          className="col-span-full"
          numeric
          placeholder="<|endoftext|>"
          value={typed.separator}
          fault={faults.get("separator")}
          aside={tip("Separator", "separator")}
          onChange={(separator) => onChange({ separator })}
        />
      ) : null}
      <TextField
        id="dataset-limit-documents"
        label="Limit of documents"
        numeric
        inputMode="numeric"
        placeholder="none"
        value={typed.limit_documents}
        fault={faults.get("limit_documents")}
        aside={tip("Limit of documents", "limit_documents")}
        onChange={(limit_documents) => onChange({ limit_documents })}
      />
      <TextField
        id="dataset-limit-characters"
        label="Limit of characters"
        numeric
        inputMode="numeric"
        placeholder="none"
        value={typed.limit_characters}
        fault={faults.get("limit_characters")}
        aside={tip("Limit of characters", "limit_characters")}
        onChange={(limit_characters) => onChange({ limit_characters })}
      />
    </div>
  );
}
