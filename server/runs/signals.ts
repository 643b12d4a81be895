import type postgres from "postgres";
import { runChannel } from "./write.ts";

/** One waiting reader; wake-ups that come while it is busy melt into one. */
export interface Wakeups {
  /** Resolves true when something may have happened since the last call, false when the signal was aborted. */
  next(): Promise<boolean>;
}

/** Tells readers in this process which runs have changed, from one LISTEN connection. */
export interface RunSignals {
  /** Subscribe before reading, or what happens between the two is missed. The first `next()` waits. */
  subscribe(runId: string, signal: AbortSignal): Wakeups;
  close(): Promise<void>;
}

/** A LISTEN connection that died without a word gives no signal; readers look by themselves this often. */
const lookAnywayMs = 5_000;

/** Listens on the raw client (which makes its connection anew when it drops; all readers are woken then). */
export async function openRunSignals(sql: postgres.Sql): Promise<RunSignals> {
  const readers = new Map<string, Set<() => void>>();
  const wakeAll = () => {
    for (const group of readers.values()) for (const wake of group) wake();
  };
  const listening = await sql.listen(
    runChannel,
    (runId) => {
      for (const wake of readers.get(runId) ?? []) wake();
    },
    wakeAll,
  );
  const timer = setInterval(wakeAll, lookAnywayMs);
  timer.unref();
  return {
    subscribe(runId, signal) {
      let pending = false;
      let resume: ((alive: boolean) => void) | null = null;
      const wake = () => {
        if (resume === null) {
          pending = true;
        } else {
          resume(true);
          resume = null;
        }
      };
      const group = readers.get(runId) ?? new Set();
      readers.set(runId, group.add(wake));
      signal.addEventListener(
        "abort",
        () => {
          group.delete(wake);
          if (group.size === 0) readers.delete(runId);
          resume?.(false);
          resume = null;
        },
        { once: true },
      );
      return {
        next: () => {
          if (signal.aborted) return Promise.resolve(false);
          if (pending) {
            pending = false;
            return Promise.resolve(true);
          }
          return new Promise((resolve) => {
            resume = resolve;
          });
        },
      };
    },
    async close() {
      clearInterval(timer);
      await listening.unlisten();
    },
  };
}
