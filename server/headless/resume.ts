import path from "node:path";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import type { TrainerState } from "../../gpu/sae/trainer.ts";
import { CheckpointDamagedError, readCheckpoint } from "../artifacts/checkpoint.ts";
import {
  checkpointFolder,
  checkpointSteps,
  hasRunRecord,
  type RunFailure,
  RunFolderError,
  readFailure,
} from "./run-folder.ts";

/** A run to go on with, and the step to go on from where a checkpoint was named. */
export interface ResumePlace {
  run: string;
  step: number | null;
}

/**
 * Finds the run of a run's folder, or of one of its checkpoints.
 * @throws RunFolderError
 */
export function resumePlace(given: string): ResumePlace {
  const folder = path.resolve(given);
  if (hasRunRecord(folder)) return { run: folder, step: null };
  const step = /^step_(\d+)$/.exec(path.basename(folder))?.[1];
  // <run>/checkpoints/step_n, or <run>/<label>/checkpoints/step_n.
  const owner = path.dirname(path.dirname(folder));
  const run = [owner, path.dirname(owner)].find(hasRunRecord);
  if (step !== undefined && run !== undefined) return { run, step: Number(step) };
  const sweep = path.dirname(folder);
  throw new RunFolderError(
    hasRunRecord(sweep)
      ? `${given} is one SAE of the sweep in ${sweep}, which goes on as a whole: --resume ${sweep}.`
      : `${given} holds neither a run nor a checkpoint within one. Give the folder that a run was told as --out.`,
  );
}

/** One SAE of a run, as its folder has it. */
export interface SavedSae {
  label: string;
  folder: string;
  config: TrainingConfig;
}

export interface SavedStep {
  step: number;
  /** By label. An SAE whose training had failed by then has its failure instead of a state. */
  states: Map<string, TrainerState>;
  failures: Map<string, RunFailure>;
}

/**
 * The newest step at which every SAE that had not failed has a whole checkpoint; step 0 without states where there is
 * none. Damaged ones are passed over, with a warning.
 * @param only The step of the checkpoint that was named.
 * @throws RunFolderError when that one is damaged, or a configuration was changed since.
 */
export async function newestSavedStep(
  saes: readonly SavedSae[],
  only: number | null,
  warn: (message: string) => void,
): Promise<SavedStep> {
  const failures = new Map<string, RunFailure>();
  for (const { label, folder } of saes) {
    const failure = await readFailure(folder);
    if (failure !== null) failures.set(label, failure);
  }
  const known = await Promise.all(saes.map(({ folder }) => checkpointSteps(folder)));
  const steps = only === null ? [...new Set(known.flat())].sort((a, b) => b - a) : [only];
  for (const step of steps) {
    const failed = new Map([...failures].filter(([, failure]) => failure.step <= step));
    try {
      const states = new Map<string, TrainerState>();
      for (const sae of saes) if (!failed.has(sae.label)) states.set(sae.label, await stateAt(sae, step));
      return { step, states, failures: failed };
    } catch (error) {
      if (!(error instanceof CheckpointDamagedError)) throw error;
      if (only !== null) throw new RunFolderError(error.message, error);
      warn(`${error.message} Trying the one before it.`);
    }
  }
  warn("There is no whole checkpoint, so the run begins anew.");
  return { step: 0, states: new Map(), failures: new Map() };
}

async function stateAt({ folder, config }: SavedSae, step: number): Promise<TrainerState> {
  const { state, manifest } = await readCheckpoint(checkpointFolder(folder, step));
  const changed = Object.keys(config).filter(
    (name) =>
      JSON.stringify(config[name as keyof TrainingConfig]) !==
      JSON.stringify(manifest.config[name as keyof TrainingConfig]),
  );
  if (changed.length > 0) {
    throw new RunFolderError(
      `config.json in ${folder} says otherwise than the checkpoint of step ${step} about ${changed.join(", ")}; a run goes on with the configuration it began with. Put it back.`,
    );
  }
  return state;
}
