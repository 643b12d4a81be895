import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import path from "node:path";
import type { TrainerState } from "../../gpu/sae/trainer.ts";
import packageJson from "../../package.json" with { type: "json" };
import { namesIn } from "../artifacts/aside.ts";
import { CheckpointDamagedError, readCheckpoint, writeCheckpoint } from "../artifacts/checkpoint.ts";
import { StorageError } from "../artifacts/storage-error.ts";
import type { CheckpointView } from "../runs/views.ts";
import type { FromTrainer, TrainingTask } from "./messages.ts";

/** The run's folder, relative to FACET_HOME. */
const runPath = (runId: string) => path.join("runs", runId);
const checkpointsPath = (runId: string) => path.join(runPath(runId), "checkpoints");

/**
 * Where an attempt writes, relative to FACET_HOME. What it has written is moved to its place by the worker when it is
 * recorded, so an attempt that goes on after it lost the run does no harm.
 */
export const draftPath = ({ runId, attempt }: { runId: string; attempt: number }) =>
  path.join(runPath(runId), `.attempt_${attempt}`);

/**
 * Removes what earlier attempts left: drafts, and checkpoints that were moved to their place and not recorded.
 * `recorded` are folders relative to FACET_HOME. Call it only while no other attempt can record anything.
 */
export async function removeUnrecorded(
  home: string,
  { runId, attempt }: { runId: string; attempt: number },
  recorded: readonly string[],
): Promise<void> {
  const drafts = (await namesIn(path.join(home, runPath(runId))))
    .filter((name) => Number(/^\.attempt_(\d+)$/.exec(name)?.[1] ?? attempt) < attempt)
    .map((name) => path.join(runPath(runId), name));
  const unrecorded = (await namesIn(path.join(home, checkpointsPath(runId))))
    .map((name) => path.join(checkpointsPath(runId), name))
    .filter((folder) => !recorded.includes(folder));
  for (const folder of [...drafts, ...unrecorded]) {
    await rm(path.join(home, folder), { recursive: true, force: true });
  }
}

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
  const folder = path.join(task.home, runPath(task.runId));
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
  const name = `step_${state.step}`;
  const draft = path.join(draftPath(task), name);
  const { bytes, sha256 } = await writeCheckpoint(path.join(task.home, draft), state, {
    config: task.config,
    adapter: about.adapter,
    facet_version: packageJson.version,
  });
  await say({
    type: "checkpoint",
    draft,
    checkpoint: {
      step: state.step,
      reason: about.reason,
      path: path.join(checkpointsPath(task.runId), name),
      bytes,
      sha256,
      duration_ms: performance.now() - startedAt,
    },
  });
}
