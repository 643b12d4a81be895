import type { StepMetrics } from "../../gpu/sae/trainer.ts";
import { LostLeaseError } from "../errors.ts";

export interface OutboxOptions {
  writeMetrics(rows: StepMetrics[]): Promise<unknown>;
  /** The run is someone else's now, or the database refuses a write for good. Nothing more is written. */
  onRefused(error: Error): void;
  /** Told at the first failed try and at the first success after it. */
  onReachable(reachable: boolean): void;
}

type Entry = { rows: StepMetrics[] } | { write: () => Promise<unknown> };

const longestPauseMs = 5_000;
/** Far below PostgreSQL's 65,535 parameters a statement. */
const rowsPerWrite = 1_000;

/**
 * A run's writes, in order, one at a time. While the database does not answer they wait here and training goes on;
 * metrics that wait melt into few statements.
 */
export class Outbox {
  #options: OutboxOptions;
  #entries: Entry[] = [];
  #sending: Promise<void> | null = null;
  #closed = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  metrics(rows: StepMetrics[]): void {
    const last = this.#entries.at(-1);
    if (last !== undefined && "rows" in last && last.rows.length + rows.length <= rowsPerWrite) {
      last.rows.push(...rows);
    } else {
      this.#entries.push({ rows: [...rows] });
    }
    this.#start();
  }

  add(write: () => Promise<unknown>): void {
    this.#entries.push({ write });
    this.#start();
  }

  /** Resolves when everything has been written or refused. */
  async flushed(): Promise<void> {
    while (this.#sending !== null) await this.#sending;
  }

  /** Drops what has not been written. */
  close(): void {
    this.#closed = true;
    this.#entries = [];
  }

  #start(): void {
    if (this.#closed || this.#sending !== null) return;
    this.#sending = this.#send().finally(() => {
      this.#sending = null;
    });
  }

  async #send(): Promise<void> {
    for (;;) {
      const entry = this.#entries.shift();
      if (entry === undefined) return;
      await this.#deliver(entry);
    }
  }

  async #deliver(entry: Entry): Promise<void> {
    for (let pauseMs = 100; !this.#closed; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
      try {
        await ("rows" in entry ? this.#options.writeMetrics(entry.rows) : entry.write());
        if (pauseMs > 100) this.#options.onReachable(true);
        return;
      } catch (error) {
        if (error instanceof LostLeaseError || !isPassing(error)) {
          this.close();
          this.#options.onRefused(error instanceof Error ? error : new Error(String(error)));
          return;
        }
        if (pauseMs === 100) this.#options.onReachable(false);
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  }
}

const passingCodes = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_DESTROYED",
  "CONNECTION_ENDED",
  "CONNECT_TIMEOUT",
  "EAI_AGAIN",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EPIPE",
  "ETIMEDOUT",
]);
// SQLSTATE classes: connection, rolled back by concurrency, out of resources, operator intervention, system error.
const passingClasses = new Set(["08", "40", "53", "57", "58"]);

/** Whether the same statement may succeed later; Drizzle wraps the driver's error. */
export function isPassing(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    const code = "code" in at ? String(at.code) : "";
    if (passingCodes.has(code) || (code.length === 5 && passingClasses.has(code.slice(0, 2)))) return true;
  }
  return false;
}
