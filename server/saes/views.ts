import type { EvaluatedSet, EvaluationSubject } from "../../db/stored.ts";
import type { evaluationKinds, evaluationStatuses, saeStatuses } from "../../db/vocabulary.ts";
import type { Precision } from "../../gpu/lm/precision.ts";
import type { SaeHistograms } from "../../gpu/metrics/sae-histograms.ts";
import type { SaeConfig } from "../../gpu/sae/sae.ts";
import type { Evaluation } from "../../gpu/sae/trainer.ts";
import type { WritableFormat } from "../formats/formats.ts";
import type { SaeFormat } from "../formats/sae-source.ts";
import type { Recovery } from "../runs/views.ts";
import type { ModelMeasures, SaeMeasures } from "./measures.ts";
import type { NeededSet } from "./needed-sets.ts";

export type { ModelMeasures, SaeMeasures };
export type SaeStatus = (typeof saeStatuses)[number];
export type SaeEvaluationStatus = (typeof evaluationStatuses)[number];

/** The row of a list. Dates are ISO strings. What is null of an imported SAE is not known before its import ends, or never was. */
export interface SaeSummary {
  id: string;
  name: string;
  status: SaeStatus;
  /** Why the import failed. */
  reason: string | null;
  /** The run that trained it; null for an imported one. */
  run: { id: string; name: string } | null;
  /** File or folder it was imported from, as the user named it. */
  origin: string | null;
  /** Layout of the origin; "facet" for what a run left. */
  format: SaeFormat;
  /** As it was trained. */
  architecture: string | null;
  hook_name: string | null;
  model_name: string | null;
  dataset_name: string | null;
  d_in: number | null;
  d_out: number | null;
  d_sae: number | null;
  bytes: number | null;
  /** From the evaluation after its training, else from the newest one that is done. */
  l0: number | null;
  fvu: number | null;
  created_at: string;
}

/** A measurement: on stored activations, or spliced into the language model. */
export interface SaeEvaluationView {
  id: string;
  kind: (typeof evaluationKinds)[number];
  status: SaeEvaluationStatus;
  /** Part done, in [0, 1]. */
  progress: number;
  reason: string | null;
  /** The sets as they were when it began; none in a model. */
  sets: EvaluatedSet[];
  /** Model, tokens and hook point as they were when it began; null on stored activations. */
  subject: EvaluationSubject | null;
  /** Held-out sequences; null on stored activations. */
  n_sequences: number | null;
  /** Of the model's weights; null on stored activations. */
  precision: Precision | null;
  /** Most tokens it was to measure on. */
  tokens: number;
  /** Of an evaluation on stored activations. */
  result: SaeMeasures | null;
  /** Of one in the model. */
  model_result: ModelMeasures | null;
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
}

export interface SaeDetail extends SaeSummary {
  /** Folder relative to FACET_HOME. */
  path: string;
  sha256: string | null;
  /** What it computes. */
  config: SaeConfig | null;
  /** On the training data, after the last step. */
  evaluation: Omit<Evaluation, "feature_frequency"> | null;
  recovery: Recovery | null;
  histograms: SaeHistograms | null;
  /** Layouts it can be exported in; of the others why not, in a sentence. */
  exports: { format: WritableFormat; refusal: string | null }[];
  /** Sets it is evaluated on, in order; of a transcoder input and target. */
  needed_sets: NeededSet[];
  /** Newest first. */
  evaluations: SaeEvaluationView[];
}
