"use client";

import { useEffect, useMemo, useSyncExternalStore } from "react";
import { reportStream } from "../_data/connection.ts";
import { type StudioClient, useTRPCClient } from "../_data/trpc.ts";
import { useVisible } from "../_data/use-visible.ts";
import { RunFeed, type RunFeedClient, type RunFeedState } from "./run-feed.ts";

function feedClient(client: StudioClient): RunFeedClient {
  return {
    get: (id) => client.runs.get.query({ id }),
    metrics: async (id) => (await client.runs.metrics.query({ id })).rows,
    log: async (id) => (await client.runs.events.query({ id })).events,
    poll: (id, after) => client.runs.poll.query({ id, after }),
    live: (id, after, on) =>
      client.runs.live.subscribe(
        { id, lastEventId: String(after) },
        {
          onData: ({ data }) => on.message(data),
          onConnectionStateChange: ({ state }) => {
            if (state === "pending") on.connected();
            else if (state === "connecting") on.broken();
          },
          onError: (error) => on.failed(error),
          onComplete: () => on.failed(new Error("The server ended the stream.")),
        },
      ),
  };
}

/** Follows a run while the tab is seen; a hidden tab holds no connection and catches up when it is seen again. */
export function useRunFeed(id: string): { state: RunFeedState; feed: RunFeed } {
  const client = useTRPCClient();
  const visible = useVisible();
  const feed = useMemo(() => new RunFeed(id, feedClient(client), reportStream), [id, client]);
  useEffect(() => {
    if (!visible) return;
    feed.start();
    return () => feed.stop(document.hidden ? "hidden" : "idle");
  }, [feed, visible]);
  const state = useSyncExternalStore(feed.subscribe, feed.state, feed.state);
  return { state, feed };
}
