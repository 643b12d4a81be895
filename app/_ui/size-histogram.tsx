"use client";

import { useState } from "react";
import type { LengthBucket } from "../../server/datasets/views.ts";
import { formatCompact, formatCount, formatPercent } from "./format.ts";

function range({ from, to }: LengthBucket): string {
  return from === to ? formatCount(from) : `${formatCount(from)} to ${formatCount(to)}`;
}

/** Documents by their length, a bar a power of two; the counted under the pointer in words above. */
export function SizeHistogram({
  buckets,
  shortest,
  longest,
  unit,
}: {
  buckets: readonly LengthBucket[];
  shortest: number;
  longest: number;
  /** What lengths count, e.g. "characters". */
  unit: string;
}) {
  const [at, setAt] = useState<number | null>(null);
  const total = buckets.reduce((sum, { count }) => sum + count, 0);
  const most = Math.max(1, ...buckets.map(({ count }) => count));
  const under = at === null ? undefined : buckets[at];
  const every = Math.ceil(buckets.length / 6);
  return (
    <figure>
      <figcaption className="num mb-2 flex min-h-4 justify-between gap-4 text-xs text-ink-3">
        {under ? (
          <>
            <span>
              {range(under)} {unit}
            </span>
            <span>
              {formatCount(under.count)}, {formatPercent(under.count / total)}
            </span>
          </>
        ) : (
          <>
            <span>shortest {formatCount(shortest)}</span>
            <span>longest {formatCount(longest)}</span>
          </>
        )}
      </figcaption>
      <div
        role="img"
        aria-label={`Lengths of ${formatCount(total)} documents, from ${formatCount(shortest)} to ${formatCount(longest)} ${unit}`}
      >
        <div
          aria-hidden
          className="flex h-28 items-end border-b border-line-strong"
          onPointerLeave={() => setAt(null)}
        >
          {buckets.map(({ from, count }, bucket) => (
            <div
              key={from}
              className="group flex h-full min-w-0 flex-1 items-end px-px"
              onPointerEnter={() => setAt(bucket)}
            >
              <div
                className="w-full rounded-t-[2px] bg-chart-1 opacity-85 group-hover:opacity-100"
                style={{ height: count === 0 ? 0 : `max(2px, ${(100 * count) / most}%)` }}
              />
            </div>
          ))}
        </div>
        <div aria-hidden className="num flex text-2xs text-ink-3">
          {buckets.map(({ from }, bucket) => (
            <span key={from} className="min-w-0 flex-1 overflow-visible pt-1 whitespace-nowrap">
              {bucket % every === 0 ? formatCompact(from) : ""}
            </span>
          ))}
        </div>
      </div>
    </figure>
  );
}
