import type { checkpointReasons, desiredStates } from "../../db/vocabulary.ts";
import { runStatuses } from "../../db/vocabulary.ts";
import type { SyntheticConfig } from "../../gpu/data/synthetic.ts";
import type { Precision } from "../../gpu/lm/precision.ts";
import type { Recovery } from "../../gpu/metrics/recovery.ts";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import type { Evaluation, StepMetrics } from "../../gpu/sae/trainer.ts";
import type { ModelMeasures } from "../saes/measures.ts";

export type { Recovery };
export { runStatuses };
export type RunStatus = (typeof runStatuses)[number];

/** What the user wants of the worker that holds the run. */
export type DesiredState = (typeof desiredStates)[number];

/** What a run trains on. */
export type RunSource =
  | { kind: "synthetic"; synthetic: SyntheticConfig }
  | {
      kind: "activation_set";
      /**
       * Sets whose rows stand side by side, row by row of the same tokens: one for an SAE, input and target for a
       * transcoder, all hook points in order for a crosscoder.
       */
      activation_set_ids: string[];
    }
  | {
      kind: "live";
      /** The model that runs beside the training, and the tokens it reads. */
      model_id: string;
      tokenization_id: string;
      /**
       * Hook points whose rows stand side by side: one for an SAE, input and target for a transcoder, all in order for a
       * crosscoder.
       */
      hooks: string[];
      /** Of the model's weights on the GPU. */
      precision: Precision;
      /** Steps between evaluations in the model; null: only after the last. */
      eval_every_steps: number | null;
      /** Most held-out sequences of each evaluation. */
      eval_sequences: number;
    };

/** One of the sets that a run trains on. */
export interface SourceSetView {
  id: string;
  name: string;
  hook_name: string;
  d_in: number;
}

/** What a live run trains on. */
export interface LiveSourceView {
  model: { id: string; name: string };
  tokenization: { id: string; name: string };
  dataset: { id: string; name: string };
  hooks: string[];
  precision: Precision;
  eval_every_steps: number | null;
  eval_sequences: number;
}

/** How a live run's SAE did in its model after a step, on held-out sequences. */
export interface ModelEvaluationAtStep extends Omit<ModelMeasures, "frequency"> {
  step: number;
}

/** The row of a list. Dates are ISO strings, as they travel. */
export interface RunSummary {
  id: string;
  name: string;
  status: RunStatus;
  /** Differs from what the status says while a pause or stop is under way. */
  desired: DesiredState;
  /**
   * `name` joins those of the sets: "a", "a → b" for a transcoder, "a + b" for a crosscoder; of a live run it is
   * "model on tokenization".
   */
  source: {
    kind: RunSource["kind"];
    name: string;
    activation_sets: SourceSetView[];
    live: LiveSourceView | null;
  };
  hook_name: string;
  model_name: string | null;
  dataset_name: string | null;
  architecture: TrainingConfig["architecture"];
  /** Of each hook point. */
  d_in: number;
  /** Of what is reconstructed: the target's for a transcoder, else d_in. */
  d_out: number;
  n_hook_points: number;
  d_sae: number;
  /** How features are kept few, in short: "k 32", "L1 5", "target L0 20". */
  sparsity: string;
  step: number;
  total_steps: number;
  /** Newest metrics row, if any. */
  latest: StepMetrics | null;
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
  /** Seconds left at the rate of the last 100 steps; null when it is not training. */
  eta_seconds: number | null;
  /** Which controls make sense now. */
  allowed: RunControl[];
}

export const runControls = ["pause", "resume", "stop", "cancel", "retry", "delete"] as const;
export type RunControl = (typeof runControls)[number];

export interface CheckpointView {
  id: string;
  step: number;
  reason: (typeof checkpointReasons)[number];
  bytes: number;
  duration_ms: number;
  sha256: string;
  created_at: string;
}

/** The SAE that a run left. */
export interface SaeView {
  id: string;
  hook_name: string;
  /** Folder in SAELens' layout, relative to FACET_HOME. */
  path: string;
  bytes: number;
  sha256: string;
  evaluation: Omit<Evaluation, "feature_frequency">;
  recovery: Recovery | null;
  created_at: string;
}

export interface RunDetail extends RunSummary {
  description: string;
  config: TrainingConfig;
  run_source: RunSource;
  /** Why it failed or was interrupted: cause and next step, for a person. */
  reason: string | null;
  attempt: number;
  worker: { id: string; host: string; adapter: string; software: boolean } | null;
  memory: { planned_bytes: number; peak_bytes: number | null } | null;
  checkpoints: CheckpointView[];
  sae: SaeView | null;
  /** Sequence number of the newest event contained in this view. */
  seq: number;
}

/** The one union of what can happen to a run; `seq` rises by at least one per event within a run. */
export type RunEvent = { seq: number; at: string } & (
  | { type: "status"; status: RunStatus; reason: string | null }
  | { type: "progress"; message: string }
  | { type: "metrics"; rows: StepMetrics[] }
  | { type: "checkpoint"; checkpoint: CheckpointView }
  | { type: "evaluation"; evaluation: ModelEvaluationAtStep }
  | { type: "sae"; sae: SaeView }
  | { type: "warning"; message: string }
);

/** What a live subscriber receives: first a snapshot (or, after a cut, nothing), then events. */
export type LiveMessage = { type: "snapshot"; run: RunDetail } | RunEvent;
