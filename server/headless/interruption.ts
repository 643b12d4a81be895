import { InterruptedError } from "./exit-code.ts";

/** A signal within this of the first is the same wish: npm passes on what the terminal has sent to both already. */
const echoMs = 500;

/**
 * SIGINT and SIGTERM, heard from now on until disposed. The first asks the command to end well; a later one ends the
 * process at once.
 */
export class Interruption {
  readonly #abort = new AbortController();
  #firstAt = 0;
  readonly #listeners = (["SIGINT", "SIGTERM"] as const).map((signal) => {
    const listener = () => {
      const error = new InterruptedError(signal);
      if (!this.#abort.signal.aborted) {
        this.#firstAt = performance.now();
        this.#abort.abort(error);
      } else if (performance.now() - this.#firstAt > echoMs) process.exit(error.exitCode);
    };
    process.on(signal, listener);
    return { signal, listener };
  });

  /** Aborts with an `InterruptedError` as its reason. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** The first signal that came. */
  get received(): InterruptedError | null {
    const reason: unknown = this.#abort.signal.reason;
    return reason instanceof InterruptedError ? reason : null;
  }

  dispose(): void {
    for (const { signal, listener } of this.#listeners) process.off(signal, listener);
  }
}
