import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { createTrainer, type MemoryPlan, type StepMetrics, type Trainer } from "../../gpu/sae/trainer.ts";
import { runTraining } from "../../gpu/sae/training-loop.ts";
import { withEvaluation } from "../runs/evaluation-memory.ts";
import { newestState, saveState } from "./checkpoints.ts";
import { evaluationsAtSteps } from "./evaluate-at-steps.ts";
import { DeviceLostError } from "./failure.ts";
import { sayFinished } from "./finish-live.ts";
import { type FinishedSae, finishRun } from "./finish-run.ts";
import type { FromTrainer, TrainerControl, TrainingTask } from "./messages.ts";
import { openRunSource, type RunActivations } from "./run-source.ts";

/** How training tells the worker what happens and learns what is wanted. */
export interface TrainingLink {
  say(message: FromTrainer): Promise<void>;
  /** What the worker wants at this moment. */
  wanted(): TrainerControl["control"];
}

export type TrainingOutcome = "completed" | "paused" | "stopped";

/** A page shows new numbers within half a second, and the database takes few statements. */
const metricsIntervalMs = 200;

/**
 * Trains a run from its newest whole checkpoint, or from the beginning, until it ends, is paused or is stopped.
 * A run that ends or is stopped leaves its SAE.
 */
export async function train(task: TrainingTask, link: TrainingLink): Promise<TrainingOutcome> {
  const gpu = await openGpu(task.adapter === null ? {} : { adapter: task.adapter });
  let closing = false;
  const lost = gpu.lost.then(({ reason, message }): TrainingOutcome => {
    if (closing) return "paused";
    throw new DeviceLostError(`The GPU was lost (${reason}: ${message}).`);
  });
  try {
    return await Promise.race([trainOn(gpu, task, link), lost]);
  } finally {
    closing = true;
    gpu.close();
  }
}

async function trainOn(gpu: Gpu, task: TrainingTask, link: TrainingLink): Promise<TrainingOutcome> {
  const { outcome, finished } = await trainToEnd(gpu, task, link);
  // Only now, when the trainer and its source have given their memory back.
  if (finished !== null) await sayFinished(gpu, task, link.say, finished);
  return outcome;
}

async function trainToEnd(
  gpu: Gpu,
  task: TrainingTask,
  link: TrainingLink,
): Promise<{ outcome: TrainingOutcome; finished: FinishedSae | null }> {
  const { config } = task;
  const source = await openRunSource(task);
  try {
    const resume = await newestState(task, link.say);
    if (task.source.kind === "live") {
      // Many tokens are mixed, so much of the text goes through the model before the first step.
      const message = `The model runs for the first activations at ${task.source.hooks.join(", ")}.`;
      await link.say({ type: "progress", message });
    }
    const trainer = await createTrainer({
      gpu,
      config,
      source: source.activations,
      ...(resume === null ? {} : { resume }),
    });
    try {
      await link.say({ type: "training", step: trainer.step, memory: memoryOf(trainer, task, source) });
      const outcome = await trainSteps(gpu, task, link, trainer, source);
      const finished = outcome === "paused" ? null : await finishRun(gpu, task, link.say, trainer, source);
      return { outcome, finished };
    } finally {
      trainer.close();
    }
  } finally {
    await source.close();
  }
}

function memoryOf(
  { memory, config }: Trainer,
  { source }: TrainingTask,
  { live }: RunActivations,
): MemoryPlan {
  return source.kind === "live" && live !== null ? withEvaluation(memory, config, source, live) : memory;
}

async function trainSteps(
  gpu: Gpu,
  task: TrainingTask,
  { say, wanted }: TrainingLink,
  trainer: Trainer,
  source: RunActivations,
): Promise<TrainingOutcome> {
  let rows: StepMetrics[] = [];
  let saidAt = 0;
  const sayRows = async () => {
    if (rows.length === 0) return;
    const batch = rows;
    rows = [];
    saidAt = performance.now();
    await say({ type: "metrics", rows: batch });
  };
  const reasonFor = (step: number) => {
    if (step === trainer.totalSteps) return "final";
    const control = wanted();
    return control === "continue" ? "interval" : control;
  };
  const outcome = await runTraining(trainer, {
    checkpointEverySteps: task.config.checkpoint_every_steps,
    control: wanted,
    onMetrics: async (arrived) => {
      rows.push(...arrived);
      if (performance.now() - saidAt >= metricsIntervalMs) await sayRows();
    },
    afterStep: evaluationsAtSteps(gpu, task, say, trainer, source.live),
    onCheckpoint: async (state) => {
      // The rows up to its step first: a run that goes on from here never makes them again.
      await sayRows();
      await saveState(task, say, state, {
        reason: reasonFor(state.step),
        adapter: gpu.capabilities.adapter,
      });
    },
  });
  await sayRows();
  return outcome;
}
