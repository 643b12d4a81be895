import { constants } from "node:os";

/** How a command ended, for the shell. */
export const exitCode = {
  done: 0,
  failed: 1,
  /** The command line, the configuration or an input file is wrong; nothing was begun. */
  wrong: 2,
  diverged: 3,
} as const;

/** A signal ended the command: 128 and the signal's number, as shells have it. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
  readonly signal: "SIGINT" | "SIGTERM";
  constructor(signal: "SIGINT" | "SIGTERM", message = `Stopped by ${signal}.`) {
    super(message);
    this.signal = signal;
  }

  /** 130 or 143. */
  get exitCode(): number {
    return 128 + constants.signals[this.signal];
  }
}
