import type { StepMetrics, Trainer, TrainerState } from "./trainer.ts";

export interface TrainingLoopOptions {
  /** Aborting stops at once: no checkpoint, the signal's reason is thrown. */
  signal?: AbortSignal;
  /** Rows in order of their steps, each once. */
  onMetrics(rows: StepMetrics[]): void | Promise<void>;
  /** After every step, and before its checkpoint; awaited before the next. */
  afterStep?(): void | Promise<void>;
  /** Whole state at the end of a step; awaited before the next. */
  onCheckpoint(state: TrainerState): Promise<void>;
  /** 0: only the last state, and the one at a pause or stop. */
  checkpointEverySteps: number;
  /** Asked before every step. */
  control?(): "continue" | "pause" | "stop";
}

/** Milliseconds after which the loop lets timers and messages run, however quick the steps are. */
const yieldAfter = 20;

/**
 * Trains until the last step or until told otherwise; every way out but an error leaves a checkpoint behind.
 * The trainer stays open.
 */
export async function runTraining(
  trainer: Trainer,
  options: TrainingLoopOptions,
): Promise<"completed" | "paused" | "stopped"> {
  const { signal, onMetrics, onCheckpoint, checkpointEverySteps, control = () => "continue" } = options;
  const report = async (rows: StepMetrics[]) => {
    if (rows.length > 0) await onMetrics(rows);
  };
  let saved = -1;
  const checkpoint = async () => {
    if (saved === trainer.step) return;
    await report(await trainer.drain());
    await onCheckpoint(await trainer.snapshot());
    saved = trainer.step;
  };
  let yielded = performance.now();
  while (trainer.step < trainer.totalSteps) {
    signal?.throwIfAborted();
    const wish = control();
    if (wish !== "continue") {
      await checkpoint();
      return wish === "pause" ? "paused" : "stopped";
    }
    await report(await trainer.advance());
    await options.afterStep?.();
    if (checkpointEverySteps > 0 && trainer.step % checkpointEverySteps === 0) await checkpoint();
    if (performance.now() - yielded > yieldAfter) {
      await new Promise((resume) => setTimeout(resume, 0));
      yielded = performance.now();
    }
  }
  signal?.throwIfAborted();
  await checkpoint();
  return "completed";
}
