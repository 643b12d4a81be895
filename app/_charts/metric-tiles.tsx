import type { TrainingConfig } from "../../gpu/sae/config.ts";
import type { StepMetrics } from "../../gpu/sae/trainer.ts";
import { formatPercent, noValue } from "../_ui/format.ts";
import { type Explanation, InfoTip } from "../_ui/info-tip.tsx";
import { definitionsFor } from "./architecture-metrics.ts";
import type { MetricKey } from "./metric-definitions.ts";

export interface Tile {
  label: string;
  explanation: Explanation;
  value: string;
  /** Quieter, beside the value. */
  detail?: string;
}

/** Figures side by side in one strip, parted by hairlines. */
export function Tiles({ label, tiles }: { label: string; tiles: readonly Tile[] }) {
  return (
    <section
      aria-label={label}
      className="grid grid-cols-2 gap-px overflow-hidden rounded-lg border border-line bg-line sm:grid-cols-3 lg:auto-cols-fr lg:grid-flow-col lg:grid-cols-none"
    >
      {tiles.map(({ label: name, explanation, value, detail }) => (
        <div key={name} className="bg-surface px-4 py-3 max-sm:last:odd:col-span-2">
          <div className="flex items-center gap-1.5">
            <span className="eyebrow truncate">{name}</span>
            <InfoTip about={name} explanation={explanation} />
          </div>
          <p className="num mt-0.5 text-lg whitespace-nowrap">
            {value}
            {detail ? <span className="ml-2 text-xs text-ink-3">{detail}</span> : null}
          </p>
        </div>
      ))}
    </section>
  );
}

const latestKeys: readonly MetricKey[] = ["loss", "fvu", "explained_variance", "l0", "dead_features"];

/** The newest values of the metrics that say how a training stands. */
export function MetricTiles({
  latest,
  d_sae,
  config,
}: {
  latest: StepMetrics | null;
  d_sae: number;
  config: TrainingConfig | null;
}) {
  const definitions = definitionsFor(config);
  const tiles = latestKeys.map((key): Tile => {
    const { label, explanation, format } = definitions[key];
    const value = latest ? format(latest[key]) : noValue;
    const share = latest && key === "dead_features" ? formatPercent(latest.dead_features / d_sae) : null;
    return { label, explanation, value, ...(share ? { detail: share } : {}) };
  });
  return <Tiles label="Newest values" tiles={tiles} />;
}
