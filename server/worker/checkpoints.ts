import { existsSync } from "node:fs";
import path from "node:path";
import type { TrainerState } from "../../gpu/sae/trainer.ts";
import packageJson from "../../package.json" with { type: "json" };
import { CheckpointDamagedError, readCheckpoint, writeCheckpoint } from "../artifacts/checkpoint.ts";
import { StorageError } from "../artifacts/storage-error.ts";
import type { CheckpointView } from "../runs/views.ts";
import type { FromTrainer, TrainingTask } from "./messages.ts";

/** The run's folder, relative to FACET_HOME. */
const runPath = (task: TrainingTask) => path.join("runs", task.runId);

/**
 * The state to go on from: of the recorded checkpoints the newest whole one, null where there is none. A folder
 * without a row does not count: metrics up to its step may not have been written.
 * @throws StorageError when checkpoints are recorded and the run has no folder at all here. Most likely FACET_HOME is
 * not the one they were written to, and training from the beginning would throw them away.
 */
export async function newestState(
  task: TrainingTask,
  say: (message: FromTrainer) => Promise<void>,
): Promise<TrainerState | null> {
  const folder = path.join(task.home, runPath(task));
  if (task.checkpoints.length > 0 && !existsSync(folder)) {
    throw new StorageError(
      "failed",
      `The run has ${task.checkpoints.length} checkpoints, but its folder ${folder} is not on this machine. If FACET_HOME is shared, mount it here and try again; if the folder was deleted, make a new run like this one.`,
    );
  }
  for (const { step, path: relative } of task.checkpoints) {
    try {
      return (await readCheckpoint(path.join(task.home, relative))).state;
    } catch (error) {
      if (!(error instanceof CheckpointDamagedError)) throw error;
      const older = task.checkpoints.some((other) => other.step < step);
      const next = older ? "Trying the one before it." : "There is none before it, so the run begins anew.";
      await say({ type: "warning", message: `${error.message} ${next}` });
    }
  }
  return null;
}

/** Writes the state of a step, and says so once it stands on disk. */
export async function saveState(
  task: TrainingTask,
  say: (message: FromTrainer) => Promise<void>,
  state: TrainerState,
  about: { reason: CheckpointView["reason"]; adapter: string },
): Promise<void> {
  const startedAt = performance.now();
  const relative = path.join(runPath(task), "checkpoints", `step_${state.step}`);
  const { bytes, sha256 } = await writeCheckpoint(path.join(task.home, relative), state, {
    config: task.config,
    adapter: about.adapter,
    facet_version: packageJson.version,
  });
  await say({
    type: "checkpoint",
    checkpoint: {
      step: state.step,
      reason: about.reason,
      path: relative,
      bytes,
      sha256,
      duration_ms: performance.now() - startedAt,
    },
  });
}
