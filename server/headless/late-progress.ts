import { Progress, type ProgressOptions } from "./progress.ts";

/** Progress whose total is first known when the work has begun. */
export class LateProgress {
  readonly #options: Omit<ProgressOptions, "total">;
  #progress: Progress | null = null;

  constructor(options: Omit<ProgressOptions, "total">) {
    this.#options = options;
  }

  update(done: number, total: number, detail = ""): void {
    this.#progress ??= new Progress({ ...this.#options, total });
    this.#progress.update(done, detail);
  }

  end(): void {
    this.#progress?.end();
  }
}
