/** The GPU, which trainings and captures have one at a time: each takes as much of it as there is. */
export class GpuTurn {
  #current: Promise<void> | null = null;

  /** Resolves when nothing has it. */
  async free(): Promise<void> {
    while (this.#current !== null) await this.#current;
  }

  /**
   * Does a task once nothing else has the GPU; false when it was not free within the time, and the task was not begun.
   * Throws what the task throws.
   */
  async take(task: () => Promise<void>, patienceMs = Number.POSITIVE_INFINITY): Promise<boolean> {
    const deadline = performance.now() + patienceMs;
    while (this.#current !== null) {
      if (!(await endsBefore(this.#current, deadline - performance.now()))) return false;
    }
    const running = task();
    const current = running
      .catch(() => undefined)
      .then(() => {
        this.#current = null;
      });
    this.#current = current;
    await running;
    return true;
  }
}

async function endsBefore(task: Promise<void>, ms: number): Promise<boolean> {
  if (ms === Number.POSITIVE_INFINITY) return task.then(() => true);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), Math.max(0, ms));
  });
  try {
    return await Promise.race([task.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
