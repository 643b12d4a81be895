"use client";

import { Collapsible } from "@base-ui/react/collapsible";
import { useQuery } from "@tanstack/react-query";
import { ChevronRight } from "lucide-react";
import { useEffect, useId, useMemo, useRef } from "react";
import type { ModelEvaluationAtStep, RunDetail } from "../../server/runs/views.ts";
import { Chart } from "../_charts/chart.tsx";
import { LoadFailure } from "../_data/load-failure.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { mainModelMeasures } from "../_saes/model-measure-definitions.ts";
import { formatCount, formatMetric, noValue } from "../_ui/format.ts";
import { ScrollBox } from "../_ui/scroll-area.tsx";

interface Figure {
  label: string;
  value: (row: ModelEvaluationAtStep) => number | null;
}

const charted: readonly Figure[] = [
  { label: "Loss recovered", value: ({ loss_recovered }) => loss_recovered },
  { label: "ΔCE", value: ({ delta_ce }) => delta_ce },
  { label: "KL", value: ({ kl }) => kl },
];
const listed: readonly Figure[] = [
  ...charted,
  { label: "CE spliced", value: ({ ce_spliced }) => ce_spliced },
  { label: "CE clean", value: ({ ce_clean }) => ce_clean },
  { label: "L0", value: ({ l0 }) => l0 },
  { label: "Explained variance", value: ({ explained_variance }) => explained_variance },
];

function explanationOf(label: string) {
  const found = mainModelMeasures.find((one) => one.label === label);
  if (found === undefined) throw new Error(`No figure in the model is called “${label}”.`);
  return found.explanation;
}

const format = (value: number) => (Number.isFinite(value) ? formatMetric(value) : noValue);

function Rows({ rows }: { rows: readonly ModelEvaluationAtStep[] }) {
  return (
    <Collapsible.Root className="mt-3 rounded-lg border border-line bg-surface">
      <div className="flex h-10 items-center px-3">
        <Collapsible.Trigger className="group flex items-center gap-2 rounded-md py-1">
          <ChevronRight
            aria-hidden
            size={14}
            className="text-ink-3 transition-transform duration-100 group-data-panel-open:rotate-90"
          />
          Evaluations as a table
        </Collapsible.Trigger>
      </div>
      <Collapsible.Panel className="border-t border-line">
        <ScrollBox label="Evaluation rows" className="max-h-80">
          <table className="num w-full text-right text-xs whitespace-nowrap">
            <thead className="sticky top-0 bg-surface text-ink-3">
              <tr>
                {["Step", ...listed.map(({ label }) => label)].map((label) => (
                  <th key={label} scope="col" className="px-3 py-1.5 font-normal">
                    {label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.toReversed().map((row) => (
                <tr key={row.step} className="border-t border-line">
                  <th scope="row" className="px-3 py-1 font-normal text-ink-2">
                    {formatCount(row.step)}
                  </th>
                  {listed.map(({ label, value }) => (
                    <td key={label} className="px-3 py-1">
                      {formatMetric(value(row))}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </ScrollBox>
      </Collapsible.Panel>
    </Collapsible.Root>
  );
}

/** How a live run's SAE does in its model over the steps; nothing of a run that is only measured at its end. */
export function ModelEvaluations({
  run,
  version,
}: {
  run: RunDetail;
  /** Rises when they may have changed. */
  version: number;
}) {
  const trpc = useTRPC();
  const syncKey = useId();
  const every = run.source.live?.eval_every_steps ?? null;
  const found = useQuery(
    trpc.runs.modelEvaluations.queryOptions({ id: run.id }, { enabled: every !== null }),
  );
  const seen = useRef(version);
  const { refetch } = found;
  useEffect(() => {
    if (every === null || version === seen.current) return;
    seen.current = version;
    void refetch();
  }, [every, version, refetch]);

  const rows = found.data?.rows;
  const data = useMemo(
    () =>
      charted.map(({ label, value }) => ({
        steps: (rows ?? []).map(({ step }) => step),
        smoothing: 0,
        series: [{ label, color: "--chart-1", values: (rows ?? []).map((row) => value(row) ?? Number.NaN) }],
      })),
    [rows],
  );
  if (every === null) return null;
  if (found.isError && rows === undefined) {
    return (
      <div className="mt-6">
        <LoadFailure what="The evaluations" error={found.error} onRetry={() => void refetch()} />
      </div>
    );
  }
  return (
    <section aria-label="Evaluations in the model" className="mt-6">
      <h2 className="mb-2.5 text-sm font-medium">
        In the model <span className="font-normal text-ink-3">every {formatCount(every)} steps</span>
      </h2>
      <div className="grid gap-3 sm:grid-cols-2 xl:grid-cols-3">
        {charted.map(({ label }, index) => (
          <Chart
            key={label}
            title={label}
            explanation={explanationOf(label)}
            format={format}
            syncKey={syncKey}
            data={data[index]!}
          />
        ))}
      </div>
      {rows !== undefined && rows.length > 0 ? <Rows rows={rows} /> : null}
    </section>
  );
}
