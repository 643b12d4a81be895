import { setTimeout as pause } from "node:timers/promises";
import { duration } from "../cli/format.ts";
import type { HubError } from "./hub-error.ts";
import type { HubPatience } from "./hub-options.ts";

/** Bytes that count as getting on. */
const progressBytes = 2 ** 20;

/** What may go well at another try. */
export class TransientError extends Error {
  override readonly name = "TransientError";
  /** To tell when it is given up. */
  readonly final: HubError;
  /** How long the hub asks to wait; null: it does not say. */
  readonly wait_ms: number | null;
  constructor(final: HubError, wait_ms: number | null = null) {
    super(final.message, { cause: final });
    this.final = final;
    this.wait_ms = wait_ms;
  }
}

/** Decides, for one piece of work, whether it is tried again, and when. */
export class Retries {
  readonly #patience: HubPatience;
  readonly #signal: AbortSignal;
  readonly #tell: (words: string) => void;
  #failures = 0;
  #waits = 0;
  #mark = 0;

  /** @param tell hears of every wait */
  constructor(patience: HubPatience, signal: AbortSignal, tell: (words: string) => void) {
    this.#patience = patience;
    this.#signal = signal;
    this.#tell = tell;
  }

  /** Failures before the last megabyte are forgotten; one that came before, and was lost again, does not count. */
  reached(bytes: number): void {
    if (bytes < this.#mark + progressBytes) return;
    this.#mark = bytes;
    this.#failures = 0;
  }

  /** Waits until it is time for another try. Throws what is to be told where there will be none, and the signal's reason. */
  async after(error: unknown): Promise<void> {
    this.#signal.throwIfAborted();
    if (!(error instanceof TransientError)) throw error;
    const ms = error.wait_ms === null ? this.#backoff(error.final) : this.#asked(error.wait_ms, error.final);
    this.#tell(`${error.final.message} Going on in ${duration(Math.ceil(ms / 1_000))}.`);
    await pause(ms, undefined, { signal: this.#signal }).catch(() => undefined);
    this.#signal.throwIfAborted();
  }

  #backoff(final: HubError): number {
    const { failures, backoff_ms } = this.#patience;
    this.#failures++;
    if (this.#failures >= failures) throw final;
    // Spread out, so that clients that were cut off together do not come back together.
    return backoff_ms * 2 ** Math.min(6, this.#failures - 1) * (0.75 + 0.5 * Math.random());
  }

  #asked(ms: number, final: HubError): number {
    const { waits, longest_wait_ms } = this.#patience;
    this.#waits++;
    if (ms > longest_wait_ms || this.#waits > waits) throw final;
    return ms;
  }
}

/** Does `work` until it goes well or there is no use in another try. */
export async function persistently<T>(retries: Retries, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      await retries.after(error);
    }
  }
}
