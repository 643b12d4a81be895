import type { WorkProgress } from "../db/stored.ts";
import type { Background } from "./background.ts";

// Long work in the server's background whose state stands in a row: imports and tokenizing. The row says which attempt
// at it counts, so a canceled or abandoned one can be tried again while its last write is still under way.

/** What of a row the work writes. */
export interface WorkColumns {
  progress?: WorkProgress | null;
  status?: "failed";
  reason?: string;
}

/** Where the work is, without its rate. */
export type WorkStep = Omit<WorkProgress, "per_second">;

export interface RowWork<Result> {
  background: Background;
  /** Names the work among the process's: of one key one goes on at a time. */
  key: string;
  work(signal: AbortSignal, report: (step: WorkStep) => void): Promise<Result>;
  /** Writes while this attempt still counts; false says that it does not. Also the sign of life. */
  write(columns: WorkColumns): Promise<boolean>;
  /** Writes what the work came to, under the same condition; false says that it was in vain. */
  finish(result: Result): Promise<boolean>;
  /** Takes away what the work left when it was in vain. */
  discard(): Promise<void>;
}

const writeMs = 500;
/** A row without a sign of life for so long belongs to a process that is gone. */
export const abandonedSeconds = 30;
export const canceledReason = "It was canceled. Try again to go on from what is there already, or delete it.";
export const abandonedReason =
  "The server ended in the middle. Try again to go on from what is there already, or delete it.";

/** Begins the work and returns at once. */
export function startRowWork<Result>(work: RowWork<Result>): void {
  work.background.start((closing) => perform(work, closing), work.key);
}

async function perform<Result>(row: RowWork<Result>, closing: AbortSignal): Promise<void> {
  const lost = new AbortController();
  const signal = AbortSignal.any([closing, lost.signal]);
  const rate = new Rate();
  let progress: WorkProgress | null = null;
  const touch = async () => {
    if (!(await row.write(progress === null ? {} : { progress }))) {
      lost.abort(new Error("It is not this process's any more."));
    }
  };
  // A write that fails is made good by the next one; the end is what must be written.
  const timer = setInterval(() => void touch().catch(reportError), writeMs);
  try {
    signal.throwIfAborted();
    const result = await row.work(signal, (step) => {
      progress = { ...step, per_second: rate.of(step, performance.now()) };
    });
    clearInterval(timer);
    if (!(await row.finish(result))) await row.discard();
  } catch (error) {
    clearInterval(timer);
    const cause = closing.aborted && closing.reason instanceof Error ? closing.reason : error;
    const reason = cause instanceof Error ? cause.message : String(cause);
    await row.write({ status: "failed", reason, progress });
  }
}

const rateWindowMs = 10_000;

/** Rate of the last seconds of one stage. */
class Rate {
  #stage = "";
  #seen: { at: number; done: number }[] = [];

  of({ stage, done }: WorkStep, now: number): number | null {
    if (stage !== this.#stage || done < (this.#seen.at(-1)?.done ?? 0)) this.#seen = [];
    this.#stage = stage;
    const last = this.#seen.at(-1);
    // Reports may come thousands of times a second; few of them say as much.
    if (last === undefined || now - last.at >= 100) this.#seen.push({ at: now, done });
    while (this.#seen.length > 2 && now - this.#seen[1]!.at > rateWindowMs) this.#seen.shift();
    const first = this.#seen[0]!;
    return now - first.at < writeMs ? null : (1_000 * (done - first.done)) / (now - first.at);
  }
}

function reportError(error: unknown): void {
  console.error(error instanceof Error ? error.message : error);
}
