"use client";

import { RotateCcw } from "lucide-react";
import { type FormEvent, useState } from "react";
import type { DatasetDetail } from "../../server/datasets/views.ts";
import { Button } from "../_ui/button.tsx";
import { Panel } from "../_ui/panel.tsx";
import { ReadingFields } from "./import-option-fields.tsx";
import { importFaults, importOptions, typedImport } from "./import-options.ts";
import { useDatasetActions } from "./use-dataset-actions.ts";

/** Why an import failed, and the way to try it again, read in another way where that was the fault. */
export function FailedImport({ dataset }: { dataset: DatasetDetail }) {
  const { id, name, reason, source } = dataset;
  const [typed, setTyped] = useState(() => typedImport(dataset.options));
  const { retry, pending } = useDatasetActions();
  const faults = importFaults(typed);
  function submit(event: FormEvent) {
    event.preventDefault();
    if (faults.size === 0 && !pending) retry.mutate({ id, options: importOptions(typed) });
  }
  return (
    <Panel title="The import failed">
      <p role="status" className="mb-4 rounded-md bg-bad-soft px-3 py-2 break-words text-bad">
        {reason ?? `Import of ${name} failed.`}
      </p>
      <form onSubmit={submit}>
        <ReadingFields typed={typed} faults={faults} onChange={(part) => setTyped({ ...typed, ...part })} />
        <div className="mt-5 flex flex-wrap items-center justify-between gap-x-4 gap-y-2">
          <p className="text-xs text-ink-3">
            {source.kind === "upload" ? "The uploaded file is kept until it is read or deleted." : ""}
          </p>
          <Button type="submit" look="primary" disabled={faults.size > 0 || pending}>
            <RotateCcw aria-hidden size={14} />
            Try again
          </Button>
        </div>
      </form>
    </Panel>
  );
}
