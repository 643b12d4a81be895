"use client";

import { useQuery } from "@tanstack/react-query";
import { type StreamState, useStreamState } from "../_data/connection.ts";
import { useTRPC } from "../_data/trpc.ts";
import { useVisible } from "../_data/use-visible.ts";
import { classNames } from "../_ui/class-names.ts";

const refreshMs = 5_000;

/** The server's own account of itself and its workers, read every few seconds while the tab is seen. */
export function useSystemStatus() {
  const trpc = useTRPC();
  const visible = useVisible();
  return useQuery(
    trpc.system.status.queryOptions(undefined, {
      refetchInterval: visible ? refreshMs : false,
      retry: false,
    }),
  );
}

interface Shown {
  label: string;
  detail: string;
  dot: string;
}

const streams: Record<Exclude<StreamState, "idle">, Shown> = {
  connecting: { label: "Connecting", detail: "Opening the live stream.", dot: "bg-warn pulse" },
  live: { label: "Live", detail: "Every change arrives as it happens.", dot: "bg-ok" },
  polling: {
    label: "Polling",
    detail: "Streaming is cut off on the way; asking the server every second instead. Nothing is lost.",
    dot: "bg-warn",
  },
  offline: {
    label: "Reconnecting",
    detail: "The server does not answer; trying again until it does. Training goes on without this page.",
    dot: "bg-bad pulse",
  },
  hidden: {
    label: "Paused",
    detail: "The tab is hidden; updates go on when it is seen again.",
    dot: "bg-ink-3",
  },
};

const connected: Shown = { label: "Connected", detail: "The server answers.", dot: "bg-ok" };
const waiting: Shown = { label: "Connecting", detail: "Asking the server.", dot: "bg-ink-3" };

/** Whether what is on the page is true now. */
export function ConnectionState({ short = false }: { short?: boolean }) {
  const stream = useStreamState();
  const system = useSystemStatus();
  const plain = system.isError ? streams.offline : system.isSuccess ? connected : waiting;
  const { label, detail, dot } = stream === "idle" ? plain : streams[stream];
  return (
    <span
      role="status"
      title={detail}
      data-connection={label}
      className="inline-flex items-center gap-2 text-xs text-ink-2"
    >
      <span aria-hidden className={classNames("size-1.5 rounded-full", dot)} />
      <span className={short ? "sr-only" : ""}>{label}</span>
    </span>
  );
}

/** The adapters that train, by name, or that there is none. */
export function AdapterName() {
  const { data } = useSystemStatus();
  if (!data) return <span className="text-xs text-ink-3">&nbsp;</span>;
  const alive = data.workers.filter(({ status }) => status !== "dead");
  const first = alive[0];
  if (!first) return <span className="text-xs text-warn">No GPU worker is running</span>;
  return (
    <span
      className="block truncate text-xs text-ink-2"
      title={alive.map(({ adapter }) => adapter).join("\n")}
    >
      {first.adapter}
      {alive.length > 1 ? <span className="text-ink-3"> +{alive.length - 1}</span> : null}
    </span>
  );
}
