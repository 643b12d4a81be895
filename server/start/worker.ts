import path from "node:path";
import { unableExitCode, type WorkerReport } from "../worker/messages.ts";
import { type Child, describeEnding, spawnChild } from "./child.ts";
import type { Terminal } from "./terminal.ts";

export interface SupervisedWorker {
  /** Asks it to checkpoint and end; resolves when it has. */
  stop(): Promise<void>;
  kill(): void;
}

const firstDelayMs = 500;
const longestDelayMs = 30_000;
/** A worker that lived this long ended for a new reason, and is started again at once. */
const steadyMs = 60_000;

const program = path.resolve(import.meta.dirname, "../worker/main.ts");

/** Keeps one worker running: started again when it ends, after a pause that doubles while it keeps ending early. */
export function superviseWorker(
  home: string,
  env: Record<string, string>,
  terminal: Terminal,
): SupervisedWorker {
  const stopping = new AbortController();
  let current: Child | null = null;
  let reported = false;

  const onReport = (message: unknown) => {
    const report = message as WorkerReport;
    if (report.type === "unable") terminal.line(`This machine cannot train: ${report.reason}`);
    if (report.type === "ready" && !reported) {
      terminal.line(`Adapter: ${report.adapter} (${report.software ? "software" : "hardware"})`);
      reported = true;
    }
  };

  const supervise = async () => {
    let delay = firstDelayMs;
    while (!stopping.signal.aborted) {
      const startedAt = Date.now();
      current = spawnChild({
        name: "worker",
        words: ["--import", "tsx", program],
        home,
        env,
        onMessage: onReport,
      });
      const ending = await current.ended;
      if (stopping.signal.aborted || ending.code === unableExitCode) return;
      if (Date.now() - startedAt > steadyMs) delay = firstDelayMs;
      terminal.line(
        `The worker ended (${describeEnding(ending, current.log)}); starting it again in ${delay / 1000} s.`,
      );
      await pause(delay, stopping.signal);
      delay = Math.min(2 * delay, longestDelayMs);
    }
  };
  const supervised = supervise();
  return {
    stop: () => {
      stopping.abort();
      current?.signal("SIGTERM");
      return supervised;
    },
    kill: () => {
      stopping.abort();
      current?.kill();
    },
  };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
