"use client";

import { Slider } from "@base-ui/react/slider";
import { type ReactNode, useId, useMemo, useState } from "react";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import { formatBytes } from "../_ui/format.ts";
import { definitionsFor, hasPenalty, metricApplies } from "./architecture-metrics.ts";
import { Chart } from "./chart.tsx";
import type { MetricKey } from "./metric-definitions.ts";
import type { MetricHistory } from "./metric-history.ts";
import { MetricTable } from "./metric-table.tsx";

interface Panel {
  /** The first metric gives title and explanation. */
  keys: readonly MetricKey[];
  /** A level to reach, drawn across. */
  target?: (config: TrainingConfig) => number | null;
  logarithmic?: boolean;
  tick?: (value: number) => string;
}

const panels: readonly Panel[] = [
  { keys: ["loss", "mse_loss", "sparsity_loss", "aux_loss"], logarithmic: true },
  { keys: ["fvu"] },
  { keys: ["explained_variance"] },
  { keys: ["l0"], target: (config) => (hasPenalty(config) ? config.target_l0 : null) },
  { keys: ["sparsity_loss"] },
  { keys: ["sparsity_coefficient"] },
  { keys: ["dead_features"] },
  { keys: ["tokens_per_second"] },
  { keys: ["grad_norm"], logarithmic: true },
  { keys: ["lr"] },
  { keys: ["gpu_bytes"], tick: (bytes) => formatBytes(bytes).replace("iB", "") },
];

const colors = ["--chart-1", "--chart-2", "--chart-3", "--chart-4"];

function SmoothingSlider({ value, onChange }: { value: number; onChange: (value: number) => void }) {
  return (
    <Slider.Root
      aria-label="Smoothing"
      value={value}
      min={0}
      max={0.98}
      step={0.02}
      onValueChange={(next) => onChange(Array.isArray(next) ? (next[0] ?? 0) : next)}
      className="flex items-center gap-2.5"
    >
      <span aria-hidden className="text-xs text-ink-2">
        Smoothing
      </span>
      <Slider.Control className="flex h-7 w-28 touch-none items-center">
        <Slider.Track className="h-1 w-full rounded-full bg-line-strong">
          <Slider.Indicator className="rounded-full bg-accent" />
          <Slider.Thumb
            getAriaLabel={() => "Smoothing"}
            className="size-3.5 rounded-full border border-line-strong bg-surface shadow-sm has-focus-visible:outline-2 has-focus-visible:outline-accent"
          />
        </Slider.Track>
      </Slider.Control>
      <span aria-hidden className="num w-8 text-xs text-ink-2">
        {value === 0 ? "off" : value.toFixed(2)}
      </span>
    </Slider.Root>
  );
}

/** All charts of one training, with smoothing for all of them and the values as a table. */
export function MetricCharts({
  history,
  version,
  name,
  config,
  aside,
}: {
  history: MetricHistory;
  /** `history.version`, so that a change is seen. */
  version: number;
  /** What is trained; the file name of a download. */
  name: string;
  /** What is trained, which says what its losses are made of; null before that is known. */
  config: TrainingConfig | null;
  aside?: ReactNode;
}) {
  const [smoothing, setSmoothing] = useState(0);
  const syncKey = useId();
  const definitions = useMemo(() => definitionsFor(config), [config]);
  const shown = useMemo(
    () =>
      panels
        .map((panel) => ({ ...panel, keys: panel.keys.filter((key) => metricApplies(key, config)) }))
        .filter(({ keys }) => keys.length > 0),
    [config],
  );
  const data = useMemo(() => {
    // The history is one growing object; its version says when to read it again.
    if (version < 0) return [];
    return shown.map(({ keys, target }) => {
      const level = config === null ? null : (target?.(config) ?? null);
      return {
        steps: history.steps,
        smoothing,
        series: [
          ...keys.map((key, index) => ({
            label:
              keys.length > 1 ? (definitions[key].short ?? definitions[key].label) : definitions[key].label,
            color: colors[index] ?? "--chart-1",
            values: history.column(key),
          })),
          ...(level === null
            ? []
            : [{ label: "target", color: "--ink-3", values: history.steps.map(() => level) }]),
        ],
      };
    });
  }, [history, version, smoothing, shown, definitions, config]);

  return (
    <section aria-label="Charts">
      <div className="mb-2.5 flex flex-wrap items-center justify-between gap-3">
        <h2 className="text-sm font-medium">Training</h2>
        <div className="flex flex-wrap items-center gap-4">
          {aside}
          <SmoothingSlider value={smoothing} onChange={setSmoothing} />
        </div>
      </div>
      <div className="grid gap-3 sm:grid-cols-2 xl:grid-cols-3">
        {shown.map(({ keys, logarithmic = false, tick }, index) => {
          const definition = definitions[keys[0]!];
          return (
            <Chart
              key={keys[0]}
              title={definition.label}
              explanation={definition.explanation}
              format={definition.format}
              logarithmic={logarithmic}
              {...(tick ? { tick } : {})}
              syncKey={syncKey}
              data={data[index]!}
            />
          );
        })}
      </div>
      <MetricTable history={history} version={version} name={name} config={config} />
    </section>
  );
}
