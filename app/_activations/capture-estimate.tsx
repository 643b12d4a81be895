"use client";

import type { CaptureEstimateView } from "../../server/captures/views.ts";
import { classNames } from "../_ui/class-names.ts";
import { formatBytes, formatCompact, formatDuration, noValue } from "../_ui/format.ts";
import { type Explanation, InfoTip } from "../_ui/info-tip.tsx";

const explanations: Record<"size" | "time" | "tokens" | "rows", Explanation> = {
  size: {
    help: "On disk, of all hook points together, to the byte: the numbers of every token that goes through the model, and by which rows are traced to their text: a byte of mask, the token’s id, and where the documents lie. Only the manifests come on top, a few kilobytes each.",
    formula: "Σ tokens × (width × 2 (F16) or 4 (F32) + 5) + parts of documents × 20 bytes",
  },
  time: { help: "Tokens over the rate of the newest capture with this model on a GPU that is here." },
  tokens: { help: "Tokens that go through the model: every sequence, special tokens and padding included." },
  rows: {
    help: "Tokens of text: what each set trains on, with the held-out ones that only evaluations see. Special tokens and padding are left away.",
  },
};

function Value({
  name,
  explanation,
  bad = false,
  note,
  children,
}: {
  name: string;
  explanation: Explanation;
  bad?: boolean;
  note?: string | undefined;
  children: React.ReactNode;
}) {
  return (
    <div className="min-w-0">
      <dt className="flex items-center gap-1.5 text-xs text-ink-2">
        {name}
        <InfoTip about={name} explanation={{ ...explanation, note }} />
      </dt>
      <dd className={classNames("mt-0.5", bad && "text-bad")}>{children}</dd>
    </div>
  );
}

/** Whether what a capture takes does not fit on the disk. */
export function overflows({ bytes, free_bytes }: CaptureEstimateView): boolean {
  return free_bytes !== null && bytes > free_bytes;
}

/** What a capture takes, before it begins. Null where that is not known yet. */
export function CaptureEstimate({
  estimate,
  stale,
}: {
  estimate: CaptureEstimateView | null;
  /** It belongs to what was chosen a moment ago. */
  stale: boolean;
}) {
  const full = estimate !== null && overflows(estimate);
  return (
    <section aria-label="Estimate" aria-live="polite" className="rounded-lg bg-sunken px-4 py-3">
      <dl
        className={classNames(
          "grid grid-cols-2 gap-x-6 gap-y-3 transition-opacity duration-150 sm:grid-cols-4",
          stale && estimate && "opacity-60",
        )}
      >
        <Value name="Size" explanation={explanations.size} bad={full}>
          <span className="num">{estimate ? formatBytes(estimate.bytes) : noValue}</span>
          {estimate && estimate.free_bytes !== null ? (
            <span className={classNames("block text-xs", full ? "text-bad" : "text-ink-3")}>
              of <span className="num">{formatBytes(estimate.free_bytes)}</span> free
            </span>
          ) : null}
        </Value>
        <Value name="Time" explanation={explanations.time} note={estimate?.seconds_note}>
          {estimate === null ? (
            noValue
          ) : estimate.seconds === null ? (
            "not measured yet"
          ) : (
            <span className="num">{formatDuration(estimate.seconds)}</span>
          )}
        </Value>
        <Value name="Through the model" explanation={explanations.tokens}>
          <span className="num">{estimate ? formatCompact(estimate.tokens) : noValue}</span>
          {estimate ? <span className="text-xs text-ink-3"> tokens</span> : null}
        </Value>
        <Value name="Rows of text" explanation={explanations.rows}>
          <span className="num">{estimate ? formatCompact(estimate.rows) : noValue}</span>
          {estimate && estimate.sets.length > 1 ? (
            <span className="text-xs text-ink-3"> in each set</span>
          ) : null}
        </Value>
      </dl>
      {full ? (
        <p role="alert" className="mt-3 text-bad">
          It does not fit on the disk of FACET_HOME. Choose fewer hook points or F16, capture a smaller
          tokenization, or train live, which stores nothing.
        </p>
      ) : null}
    </section>
  );
}
