/** Work that outlives the request that began it. */
export interface Background {
  /**
   * The task is given a signal that is aborted when the process closes, or when it is cancelled by its key. It must
   * report its own failures. Of one key one task goes on at a time; the next one waits for it.
   */
  start(task: (signal: AbortSignal) => Promise<void>, key?: string): void;
  /** Aborts the tasks of a key, which this process need not have, and waits for them. */
  cancel(key: string): Promise<void>;
  /** Aborts what is under way and waits for it. */
  close(): Promise<void>;
}

interface Task {
  key: string | null;
  controller: AbortController;
  running: Promise<void>;
}

/** `onError` is told of an error that a task let escape. */
export function createBackground(onError: (error: Error) => void): Background {
  const tasks = new Set<Task>();
  const ofKey = (key: string | undefined) => [...tasks].filter((task) => task.key === key);
  let closed: Error | null = null;
  return {
    start(work, key) {
      const before = key === undefined ? [] : ofKey(key).map(({ running }) => running);
      const controller = new AbortController();
      if (closed !== null) controller.abort(closed);
      const task: Task = {
        key: key ?? null,
        controller,
        running: Promise.all(before)
          .then(() => work(controller.signal))
          .catch((error: unknown) => onError(error instanceof Error ? error : new Error(String(error))))
          .finally(() => tasks.delete(task)),
      };
      tasks.add(task);
    },
    async cancel(key) {
      const found = ofKey(key);
      for (const { controller } of found) controller.abort(new Error("It was canceled."));
      await Promise.all(found.map(({ running }) => running));
    },
    async close() {
      closed = new Error("The server is being stopped.");
      for (const { controller } of tasks) controller.abort(closed);
      await Promise.all([...tasks].map(({ running }) => running));
    },
  };
}
