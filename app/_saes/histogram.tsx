"use client";

import { useState } from "react";
import type { Histogram as Bins } from "../../gpu/metrics/sae-histograms.ts";
import { formatCount } from "../_ui/format.ts";
import { type Explanation, InfoTip } from "../_ui/info-tip.tsx";

export interface HistogramProps {
  title: string;
  explanation: Explanation;
  bins: Bins;
  /** How a place on the axis is written. */
  place: (value: number) => string;
  /** Places with a mark, within the bins' range. */
  ticks: readonly number[];
  /** What the bars do not show, e.g. "2 features never fired". */
  remark?: string;
}

/** Features by a property, as bars: the count of the bar under the pointer in the head, else what the bars leave out. */
export function Histogram({ title, explanation, bins, place, ticks, remark }: HistogramProps) {
  const [at, setAt] = useState<number | null>(null);
  const { from, to, counts } = bins;
  const width = (to - from) / counts.length;
  const bars = counts.map((count, bin) => ({ start: from + bin * width, count, bin }));
  const most = Math.max(1, ...counts);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const median = medianOf(bins);
  const said =
    at === null
      ? (remark ?? "")
      : `${place(from + at * width)} to ${place(from + (at + 1) * width)}: ${formatCount(counts[at] ?? 0)}`;
  const summary = `${title} of ${formatCount(total)} features from ${place(from)} to ${place(to)}${median === null ? "" : `, half of them below ${place(median)}`}${remark ? `; ${remark}` : ""}`;
  return (
    <figure className="min-w-0 rounded-lg border border-line bg-surface">
      <figcaption className="flex h-10 items-center gap-2 px-3.5">
        <span className="font-medium whitespace-nowrap">{title}</span>
        <InfoTip about={title} explanation={explanation} />
        <span aria-hidden className="num ml-auto truncate text-xs text-ink-3">
          {said}
        </span>
      </figcaption>
      <div role="img" aria-label={summary} className="px-3.5 pb-2">
        <div className="num flex justify-between text-2xs text-ink-3" aria-hidden>
          <span>{formatCount(most)}</span>
        </div>
        <div
          aria-hidden
          className="mt-0.5 flex h-36 items-end border-b border-line-strong"
          onPointerLeave={() => setAt(null)}
        >
          {bars.map(({ start, count, bin }) => (
            <div
              key={start}
              className="group flex h-full min-w-0 flex-1 items-end px-[0.5px]"
              onPointerEnter={() => setAt(bin)}
            >
              <div
                className="w-full rounded-t-[1px] bg-chart-1 opacity-85 group-hover:opacity-100"
                style={{ height: count === 0 ? 0 : `max(2px, ${(100 * count) / most}%)` }}
              />
            </div>
          ))}
        </div>
        <div aria-hidden className="num relative h-5 text-2xs text-ink-3">
          {ticks.map((tick) => {
            const share = (tick - from) / (to - from);
            return (
              <span
                key={tick}
                className="absolute top-1 whitespace-nowrap"
                style={{
                  left: `${100 * share}%`,
                  transform: `translateX(${share < 0.04 ? "0" : share > 0.96 ? "-100%" : "-50%"})`,
                }}
              >
                {place(tick)}
              </span>
            );
          })}
        </div>
      </div>
    </figure>
  );
}

/** The value below which half of the counted lie, at the resolution of the bins. */
function medianOf({ from, to, counts }: Bins): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  let seen = 0;
  for (const [bin, count] of counts.entries()) {
    seen += count;
    if (2 * seen >= total) return from + ((bin + 1) * (to - from)) / counts.length;
  }
  return to;
}
