import type { CaptureEstimate, CaptureOptions, WorkProgress } from "../../db/stored.ts";
import type { captureDtypes, captureStatuses } from "../../db/vocabulary.ts";
import type { Precision } from "../../gpu/lm/precision.ts";
import type { ActivationSetStatus } from "../activations/views.ts";

export type { CaptureEstimate, CaptureOptions, WorkProgress };
export type CaptureStatus = (typeof captureStatuses)[number];
export type CaptureDtype = (typeof captureDtypes)[number];

/** A capture job. Dates are ISO strings. */
export interface CaptureView {
  id: string;
  name: string;
  model: { id: string; name: string };
  tokenization: { id: string; name: string };
  dataset: { id: string; name: string };
  /** Hook points, in order; each has an activation set. */
  hooks: string[];
  dtype: CaptureDtype;
  /** Of the model's weights. */
  precision: Precision;
  options: CaptureOptions;
  status: CaptureStatus;
  /** Tokens done of all, with the rate; null before it has begun. */
  progress: WorkProgress | null;
  /** Why it failed: cause and next step. */
  reason: string | null;
  /** Times a worker has taken it. */
  attempt: number;
  worker: { id: string; host: string; adapter: string | null } | null;
  /** As it was said before it began. */
  estimate: CaptureEstimate;
  /** Measured; null before it is done. */
  tokens_per_second: number | null;
  /** One per hook point, in their order; gone ones are left out. */
  sets: { id: string; name: string; hook_name: string; status: ActivationSetStatus }[];
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
}

/** What a capture would take. */
export interface CaptureEstimateView extends CaptureEstimate {
  /** Of each hook point's set: all of its files but the manifest, of a few kilobytes. */
  sets: { hook_name: string; width: number; bytes: number }[];
  /** Free on the disk of FACET_HOME; null where it cannot be told. */
  free_bytes: number | null;
}
