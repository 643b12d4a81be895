import type { RunEvent } from "../../server/runs/views.ts";
import { classNames } from "../_ui/class-names.ts";
import { formatBytes, formatClock, formatCount, formatDateTime } from "../_ui/format.ts";
import { EmptyState, Panel } from "../_ui/panel.tsx";
import { ScrollBox } from "../_ui/scroll-area.tsx";
import { statusLooks } from "./status-badge.tsx";

function told(event: RunEvent): { dot: string; text: string; detail: string | null } {
  switch (event.type) {
    case "status":
      return {
        dot: statusLooks[event.status].dot.replace(" pulse", ""),
        text: statusLooks[event.status].label,
        detail: event.reason,
      };
    case "progress":
      return { dot: "bg-ink-3", text: event.message, detail: null };
    case "warning":
      return { dot: "bg-warn", text: event.message, detail: null };
    case "checkpoint":
      return {
        dot: "bg-ink-3",
        text: `Checkpoint at step ${formatCount(event.checkpoint.step)}`,
        detail: `${formatBytes(event.checkpoint.bytes)} in ${formatCount(event.checkpoint.duration_ms)} ms`,
      };
    case "sae":
      return { dot: "bg-ok", text: "SAE written", detail: event.sae.path };
    case "metrics":
      return { dot: "bg-ink-3", text: "Metrics", detail: null };
    case "evaluation":
      return { dot: "bg-ink-3", text: "Evaluated in the model", detail: null };
  }
}

/** What happened to a run, newest first. */
export function EventLog({ events }: { events: readonly RunEvent[] }) {
  const newestFirst = [...events].reverse();
  return (
    <Panel title="Log" flush aside={<span className="num text-xs text-ink-3">{events.length}</span>}>
      {newestFirst.length === 0 ? (
        <EmptyState title="Nothing has happened yet" />
      ) : (
        <ScrollBox label="Log of events" className="max-h-96">
          <ol className="py-1.5">
            {newestFirst.map((event) => {
              const { dot, text, detail } = told(event);
              return (
                <li
                  key={event.seq}
                  className="grid grid-cols-[auto_auto_1fr] items-baseline gap-x-3 px-4 py-1.5"
                >
                  <time
                    dateTime={event.at}
                    title={formatDateTime(event.at)}
                    className="num text-xs text-ink-3"
                  >
                    {formatClock(event.at)}
                  </time>
                  <span aria-hidden className={classNames("size-1.5 -translate-y-0.5 rounded-full", dot)} />
                  <div className="min-w-0 break-words">
                    {text}
                    {detail ? <p className="text-xs text-ink-3">{detail}</p> : null}
                  </div>
                </li>
              );
            })}
          </ol>
        </ScrollBox>
      )}
    </Panel>
  );
}
