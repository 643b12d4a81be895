import type { EvaluationSubject } from "../../db/stored.ts";
import type { Capabilities } from "../../gpu/device/gpu.ts";
import type { Precision } from "../../gpu/lm/precision.ts";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import type { MemoryPlan, StepMetrics } from "../../gpu/sae/trainer.ts";
import type { CaptureProgress } from "../captures/capture.ts";
import type { CapturedSet } from "../captures/record.ts";
import type { CaptureDtype, CaptureOptions } from "../captures/views.ts";
import type { RecordedSae } from "../runs/record.ts";
import type { CheckpointView, ModelEvaluationAtStep, RunSource } from "../runs/views.ts";
import type { ModelMeasures, SaeMeasures } from "../saes/measures.ts";

// Everything that the worker's processes say to each other. They are forked with structured clone, so numbers keep
// their infinities and arrays their types.

/** What a trainer process is forked to do; it does one thing and ends. */
export type TrainerTask =
  | { type: "probe"; adapter: string | null }
  | ({ type: "train" } & TrainingTask)
  | ({ type: "evaluate" } & EvaluationTask)
  | ({ type: "evaluate_in_model" } & ModelEvaluationTask)
  | ({ type: "capture" } & CaptureTask);

export interface EvaluationTask {
  /** FACET_HOME. */
  home: string;
  /** Folder of the SAE, relative to `home`. */
  path: string;
  /** Activation sets: one, a transcoder's input and target, or a crosscoder's hook points. */
  setIds: string[];
  /** Most rows to measure on. */
  tokens: number;
}

export interface ModelEvaluationTask {
  adapter: string | null;
  /** FACET_HOME. */
  home: string;
  /** Folder of the SAE, relative to `home`. */
  path: string;
  modelId: string;
  tokenizationId: string;
  hookName: string;
  /** Of the model's weights. */
  precision: Precision;
  /** Held-out sequences to measure on. */
  sequences: number;
}

export interface CaptureTask {
  adapter: string | null;
  /** FACET_HOME. */
  home: string;
  modelId: string;
  tokenizationId: string;
  /** Of the sets' manifests. */
  modelName: string;
  datasetName: string;
  /** Hook points with the activation set that each becomes. */
  sets: { id: string; hook_name: string }[];
  dtype: CaptureDtype;
  /** Of the model's weights. */
  precision: Precision;
  options: CaptureOptions;
}

export interface TrainingTask {
  adapter: string | null;
  /** FACET_HOME. */
  home: string;
  runId: string;
  /** Name of the run, for the SAE's metadata. */
  name: string;
  attempt: number;
  hookName: string;
  /** A transcoder's target. */
  hookNameOut: string | null;
  modelName: string | null;
  datasetName: string | null;
  config: TrainingConfig;
  source: RunSource;
  /** What a live run is evaluated on once it has ended; null for others. */
  subject: Omit<EvaluationSubject, "hook_name"> | null;
  /** Newest first, folders relative to `home`; the first whole one is resumed from. */
  checkpoints: { step: number; path: string; sha256: string }[];
}

/**
 * What the run's holder wants of the trainer, at the next step. pause: checkpoint, end. stop: checkpoint, export the
 * SAE, end. The last one said counts.
 */
export type TrainerControl = { type: "control"; control: "continue" | "pause" | "stop" };

export type ToTrainer = TrainerTask | TrainerControl;

/** Why training cannot go on. `lost` may pass when tried again from the checkpoint, `final` needs a person. */
export interface TrainingFailure {
  kind: "lost" | "final";
  /** Cause and next step, in words. */
  reason: string;
}

export type FromTrainer =
  | { type: "probed"; capabilities: Capabilities; memoryBytes: number | null }
  /** Training begins; `step` is where it goes on from. */
  | { type: "training"; step: number; memory: MemoryPlan }
  | { type: "metrics"; rows: StepMetrics[] }
  | { type: "warning" | "progress"; message: string }
  /** Said before the checkpoint of its step. */
  | { type: "evaluation"; evaluation: ModelEvaluationAtStep }
  /** The folder stands on disk at `draft`, relative to FACET_HOME; its place is the checkpoint's path. */
  | {
      type: "checkpoint";
      draft: string;
      checkpoint: Omit<CheckpointView, "id" | "created_at"> & { path: string };
    }
  /** The same of the SAE's folder. */
  | { type: "sae"; draft: string; sae: RecordedSae }
  /** Part done, in [0, 1]. */
  | { type: "evaluating"; progress: number }
  /** The last message of an evaluation on stored activations. */
  | { type: "evaluated"; result: SaeMeasures }
  /** The last message of an evaluation in a model. */
  | { type: "evaluated_in_model"; result: ModelMeasures }
  /** Tokens captured so far, of all; those of earlier attempts included. */
  | { type: "capturing"; progress: CaptureProgress }
  /** The last message of a capture: every set's folder stands on disk. */
  | { type: "captured"; sets: CapturedSet[]; tokensPerSecond: number | null }
  /** The last message of a training. */
  | { type: "ended"; outcome: "completed" | "paused" | "stopped" }
  | ({ type: "failed" } & TrainingFailure);

/** What a worker tells the supervisor that started it. */
export type WorkerReport =
  | { type: "ready"; adapter: string; software: boolean; memoryBytes: number | null }
  /** It cannot work here, and starting it again would not help. */
  | { type: "unable"; reason: string };

/** Exit status of a worker that cannot work here. */
export const unableExitCode = 78;
