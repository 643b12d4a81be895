"use client";

import { Collapsible } from "@base-ui/react/collapsible";
import { ChevronRight, Download } from "lucide-react";
import { useMemo } from "react";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import type { StepMetrics } from "../../gpu/sae/trainer.ts";
import { Button } from "../_ui/button.tsx";
import { formatCount } from "../_ui/format.ts";
import { ScrollBox } from "../_ui/scroll-area.tsx";
import { definitionsFor, metricApplies } from "./architecture-metrics.ts";
import type { MetricDefinitions, MetricKey } from "./metric-definitions.ts";
import type { MetricHistory } from "./metric-history.ts";

const allKeys: readonly MetricKey[] = [
  "tokens",
  "loss",
  "mse_loss",
  "sparsity_loss",
  "aux_loss",
  "fvu",
  "explained_variance",
  "l0",
  "dead_features",
  "grad_norm",
  "lr",
  "sparsity_coefficient",
  "tokens_per_second",
  "gpu_bytes",
];

const mostRows = 100;

/** At most `most` of the rows, evenly spread, the newest always among them; newest first. */
function spread(rows: readonly StepMetrics[], most: number): StepMetrics[] {
  const every = Math.max(1, Math.ceil(rows.length / most));
  const picked: StepMetrics[] = [];
  for (let at = rows.length - 1; at >= 0; at -= every) picked.push(rows[at]!);
  return picked;
}

function download(rows: readonly StepMetrics[], keys: readonly MetricKey[], name: string): void {
  const lines = rows.map((row) => [row.step, ...keys.map((key) => row[key])].join(","));
  const blob = new Blob([`${["step", ...keys].join(",")}\n${lines.join("\n")}\n`], { type: "text/csv" });
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = `${name.replaceAll(/[^\w.-]+/g, "_")}.csv`;
  link.click();
  URL.revokeObjectURL(url);
}

function Rows({
  history,
  version,
  keys,
  definitions,
}: {
  history: MetricHistory;
  version: number;
  keys: readonly MetricKey[];
  definitions: MetricDefinitions;
}) {
  const rows = useMemo(() => (version < 0 ? [] : spread(history.rows, mostRows)), [history, version]);
  return (
    <ScrollBox label="Metric rows" className="max-h-80">
      <table className="num w-full text-right text-xs whitespace-nowrap">
        <thead className="sticky top-0 bg-surface text-ink-3">
          <tr>
            <th scope="col" className="px-3 py-1.5 font-normal">
              Step
            </th>
            {keys.map((key) => (
              <th key={key} scope="col" className="px-3 py-1.5 font-normal">
                {definitions[key].label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.step} className="border-t border-line">
              <th scope="row" className="px-3 py-1 font-normal text-ink-2">
                {formatCount(row.step)}
              </th>
              {keys.map((key) => (
                <td key={key} className="px-3 py-1">
                  {definitions[key].format(row[key])}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </ScrollBox>
  );
}

/** The charts' values in words and numbers, for readers without the picture, and for other programs. */
export function MetricTable({
  history,
  version,
  name,
  config,
}: {
  history: MetricHistory;
  version: number;
  name: string;
  /** What is trained; metrics that it does not have are left out. */
  config: TrainingConfig | null;
}) {
  const keys = allKeys.filter((key) => metricApplies(key, config));
  return (
    <Collapsible.Root className="mt-3 rounded-lg border border-line bg-surface">
      <div className="flex h-10 items-center justify-between gap-3 pr-1.5 pl-3">
        <Collapsible.Trigger className="group flex items-center gap-2 rounded-md py-1">
          <ChevronRight
            aria-hidden
            size={14}
            className="text-ink-3 transition-transform duration-100 group-data-panel-open:rotate-90"
          />
          Data table
        </Collapsible.Trigger>
        <Button
          look="ghost"
          size="small"
          disabled={history.rows.length === 0}
          onClick={() => download(history.rows, keys, name)}
        >
          <Download aria-hidden size={13} />
          CSV
        </Button>
      </div>
      <Collapsible.Panel className="border-t border-line">
        <Rows history={history} version={version} keys={keys} definitions={definitionsFor(config)} />
      </Collapsible.Panel>
    </Collapsible.Root>
  );
}
