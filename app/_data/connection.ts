"use client";

import { useSyncExternalStore } from "react";

/**
 * How the page in front of the reader is kept up to date. "idle": it follows nothing live, and plain requests tell
 * whether the server answers.
 */
export type StreamState = "idle" | "connecting" | "live" | "polling" | "offline" | "hidden";

let state: StreamState = "idle";
const listeners = new Set<() => void>();

/** Said by the one live feed of the page. */
export function reportStream(next: StreamState): void {
  if (next === state) return;
  state = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useStreamState(): StreamState {
  return useSyncExternalStore(
    subscribe,
    () => state,
    () => "idle",
  );
}
