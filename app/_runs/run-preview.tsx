"use client";

import type { RunCheck } from "../../server/runs/check.ts";
import { errorWords } from "../_data/error-words.ts";
import { Button } from "../_ui/button.tsx";
import { classNames } from "../_ui/class-names.ts";
import { formatBytes, formatCompact, formatCount, noValue } from "../_ui/format.ts";
import { InfoTip } from "../_ui/info-tip.tsx";
import { Fact } from "../_ui/panel.tsx";

function MemoryBar({ parts, total }: { parts: readonly { name: string; bytes: number }[]; total: number }) {
  const largest = [...parts].sort((one, other) => other.bytes - one.bytes);
  return (
    <ul className="mt-2 flex flex-col gap-2">
      {largest.map(({ name, bytes }) => (
        <li key={name}>
          <div className="flex justify-between gap-3 text-xs">
            <span className="truncate text-ink-2">{name}</span>
            <span className="num">{formatBytes(bytes)}</span>
          </div>
          <div aria-hidden className="mt-1 h-1 overflow-hidden rounded-full bg-hover">
            <div
              className="h-full rounded-full bg-accent"
              style={{ width: `${total > 0 ? Math.max(1, (100 * bytes) / total) : 0}%` }}
            />
          </div>
        </li>
      ))}
    </ul>
  );
}

/** What the form comes to, before anything is started: steps, memory, faults; and the button that starts it. */
export function RunPreview({
  check,
  stale,
  error,
  batchSize,
  missing,
  starting,
}: {
  check: RunCheck | null;
  /** What is shown belongs to what was typed a moment ago. */
  stale: boolean;
  error: { message: string } | null;
  batchSize: number;
  /** What is still to be done before there is something to check, in a sentence. */
  missing: string | null;
  starting: boolean;
}) {
  const incomplete = missing !== null;
  const faults = check?.faults ?? [];
  const steps = check?.total_steps ?? 0;
  return (
    <section
      aria-label="Before it starts"
      aria-busy={stale && !incomplete}
      className="rounded-lg border border-line bg-surface p-4 lg:sticky lg:top-7"
    >
      {/* On top, so that nothing that comes and goes below moves it under the pointer. */}
      <Button
        type="submit"
        look="primary"
        className="w-full"
        disabled={starting || incomplete || (faults.length > 0 && !stale)}
      >
        {starting ? "Starting…" : "Start the run"}
      </Button>
      {incomplete ? <p className="mt-2 text-xs text-ink-3">{missing}</p> : null}
      <dl className={classNames("mt-3 transition-opacity duration-150", stale && check && "opacity-60")}>
        <Fact name="Steps">
          <span className="num">{steps > 0 ? formatCount(steps) : noValue}</span>
        </Fact>
        <Fact name="Tokens seen">
          <span className="num">{steps > 0 ? formatCompact(steps * batchSize) : noValue}</span>
        </Fact>
        <Fact
          name={
            <span className="flex items-center gap-1.5">
              GPU memory
              <InfoTip
                about="GPU memory"
                explanation={{
                  help: "What the run will hold on the device, planned by the same formulas that allocate it.",
                }}
              />
            </span>
          }
        >
          <span className="num">{check?.memory ? formatBytes(check.memory.total) : noValue}</span>
        </Fact>
      </dl>
      {check?.memory ? <MemoryBar parts={check.memory.parts} total={check.memory.total} /> : null}
      {!incomplete && check && faults.length === 0 && check.memory === null ? (
        <p className="mt-2 text-xs text-ink-3">
          The memory plan needs a GPU worker, and none is running. The run can be queued; it starts when a
          worker does.
        </p>
      ) : null}
      {faults.length > 0 ? (
        <div role="status" className="mt-3 rounded-md bg-bad-soft px-3 py-2 text-xs">
          <p className="font-medium text-bad">
            {faults.length === 1 ? "One thing" : `${faults.length} things`} to correct
          </p>
          <ul className="mt-1 flex flex-col gap-1 text-ink">
            {faults.map(({ path, message }) => (
              <li key={path + message}>{message}</li>
            ))}
          </ul>
        </div>
      ) : null}
      {error ? (
        <p role="status" className="mt-3 text-xs text-bad">
          The form could not be checked: {errorWords(error)}
        </p>
      ) : null}
    </section>
  );
}
