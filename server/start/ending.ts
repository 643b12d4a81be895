/**
 * Turns the wish to end (Ctrl-C, `kill`, a closed terminal) into an AbortSignal, and a repeated one into a call.
 * npm passes signals on to its children, who have got them from the terminal already, so what follows within a
 * second is the same wish.
 */
export function interruptions(handlers: { onFirst(): void; onSecond(): void }): AbortSignal {
  const controller = new AbortController();
  let firstAt = 0;
  const onSignal = () => {
    if (!controller.signal.aborted) {
      firstAt = Date.now();
      handlers.onFirst();
      controller.abort();
    } else if (Date.now() - firstAt > 1_000) {
      handlers.onSecond();
    }
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, onSignal);
  if (process.env.npm_lifecycle_event !== undefined) watchParent(onSignal);
  return controller.signal;
}

/** npm passes `kill` on to the shell it started and not to this process, which would be left behind. */
function watchParent(onGone: () => void): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    onGone();
  }, 500);
  timer.unref();
}

/** Undoes what a start has done, last to first. What cannot be undone is said, and does not keep the rest from it. */
export async function undoAll(steps: readonly (() => Promise<void>)[]): Promise<void> {
  for (const step of steps.toReversed()) {
    try {
      await step();
    } catch (error) {
      console.error(error instanceof Error ? error.message : String(error));
    }
  }
}
