import type { StepMetrics } from "../../gpu/sae/trainer.ts";
import packageJson from "../../package.json" with { type: "json" };
import { writeCheckpoint } from "../artifacts/checkpoint.ts";
import type { PlaceWithin } from "./evaluate-within.ts";
import type { TrainingGroup, TrainingMember } from "./group.ts";
import { MetricsLog } from "./metrics-log.ts";
import type { ModelFigures } from "./model-figures.ts";
import { checkpointFolder, metricsFileOf, modelEvaluationsFileOf, writeFailure } from "./run-folder.ts";

export interface SessionOptions {
  group: TrainingGroup;
  adapter: string;
  /** Step of the checkpoints that the SAEs' folders hold already; null for none. */
  savedStep: number | null;
  /** Whether to end after this step, with a checkpoint. */
  stopping(): boolean;
  onRows(member: TrainingMember, rows: readonly StepMetrics[]): void;
  /** After every step. */
  onStep(step: number): void;
  /** Measures an SAE that has a place within its model; null where there is no model. */
  measure: {
    everySteps: number | null;
    of(member: TrainingMember, place: PlaceWithin): Promise<ModelFigures>;
  } | null;
  onFailure(member: TrainingMember): void;
}

/** Milliseconds after which timers and signals get their turn, however quick the steps are. */
const yieldAfter = 20;

/**
 * Takes the group's steps up to the last one, or until told to stop: rows of metrics into each SAE's log, checkpoints
 * at intervals and at the end.
 */
export async function trainGroup(options: SessionOptions): Promise<"completed" | "stopped"> {
  const { group, stopping, onStep } = options;
  const first = group.members[0];
  if (first === undefined) return "completed";
  const { checkpoint_every_steps: interval } = first.planned.config;
  const logs = new Map<TrainingMember, MetricsLog>();
  const measured = new Map<TrainingMember, MetricsLog>();
  const failed = new Set<TrainingMember>();
  const log = async (member: TrainingMember, rows: StepMetrics[]) => {
    await logs.get(member)!.append(rows);
    options.onRows(member, rows);
  };
  let saved = options.savedStep;
  const notice = async () => {
    for (const member of group.members) {
      const { failure, planned } = member;
      if (failure === null || failed.has(member)) continue;
      failed.add(member);
      await writeFailure(planned.folder, { step: failure.step, message: failure.message });
      options.onFailure(member);
    }
  };
  const measure = async () => {
    for (const member of group.living) {
      const { place } = member.planned;
      if (place === null) continue;
      await group.attempt(member, async () => {
        const figures = await options.measure!.of(member, place);
        await measured.get(member)!.append([{ step: group.step, ...figures }]);
      });
    }
    await notice();
  };
  // What is measured comes before the checkpoint of its step, for a resumed run never measures it again.
  const save = async () => {
    if (saved === group.step) return;
    await saveGroup(options, log, logs, measured);
    saved = group.step;
    await notice();
  };
  try {
    for (const member of group.members) {
      const { folder, metricsFrom, place } = member.planned;
      const log = (fileOf: (folder: string) => string) =>
        MetricsLog.open(fileOf(folder), group.step, fileOf(metricsFrom));
      logs.set(member, await log(metricsFileOf));
      if (place !== null) measured.set(member, await log(modelEvaluationsFileOf));
    }
    let yielded = performance.now();
    while (group.step < group.totalSteps && group.living.length > 0) {
      if (stopping()) {
        await save();
        return "stopped";
      }
      for (const { member, rows } of await group.advance()) await log(member, rows);
      await notice();
      onStep(group.step);
      const last = group.step === group.totalSteps;
      const every = options.measure?.everySteps ?? null;
      if (options.measure !== null && (last || (every !== null && group.step % every === 0))) await measure();
      if (interval > 0 && group.step % interval === 0) await save();
      if (performance.now() - yielded > yieldAfter) {
        await new Promise((resume) => setTimeout(resume, 0));
        yielded = performance.now();
      }
    }
    await save();
    return "completed";
  } finally {
    for (const one of [...logs.values(), ...measured.values()]) await one.close();
  }
}

/** Checkpoints of all that have not failed; the rows up to their step first, for a resumed run never makes them again. */
async function saveGroup(
  { group, adapter }: SessionOptions,
  log: (member: TrainingMember, rows: StepMetrics[]) => Promise<void>,
  logs: ReadonlyMap<TrainingMember, MetricsLog>,
  measured: ReadonlyMap<TrainingMember, MetricsLog>,
): Promise<void> {
  for (const member of group.living) {
    await group.attempt(member, async ({ trainer, planned }) => {
      await log(member, await trainer.drain());
      await logs.get(member)!.sync();
      await measured.get(member)?.sync();
      const state = await trainer.snapshot();
      await writeCheckpoint(checkpointFolder(planned.folder, state.step), state, {
        config: planned.config,
        adapter,
        facet_version: packageJson.version,
      });
    });
  }
}
