/** Work that outlives the request that began it. */
export interface Background {
  /** The task is given a signal that is aborted when the process closes. It must report its own failures. */
  start(task: (signal: AbortSignal) => Promise<void>): void;
  /** Aborts what is under way and waits for it. */
  close(): Promise<void>;
}

/** `onError` is told of an error that a task let escape. */
export function createBackground(onError: (error: Error) => void): Background {
  const controller = new AbortController();
  const tasks = new Set<Promise<void>>();
  return {
    start(task) {
      const running = task(controller.signal)
        .catch((error: unknown) => onError(error instanceof Error ? error : new Error(String(error))))
        .finally(() => tasks.delete(running));
      tasks.add(running);
    },
    async close() {
      controller.abort(new Error("The server is being stopped."));
      await Promise.all(tasks);
    },
  };
}
