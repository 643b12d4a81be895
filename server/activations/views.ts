import type { activationSetStatuses } from "../../db/vocabulary.ts";

export type ActivationSetStatus = (typeof activationSetStatuses)[number];

/**
 * A set of stored activations, [n_tokens, d_in]. Dates are ISO strings. What is null is not known before the import, or
 * the capture, ends.
 */
export interface ActivationSetView {
  id: string;
  name: string;
  hook_name: string;
  model_name: string | null;
  dataset_name: string | null;
  /** Of one that was captured here; null otherwise. */
  model_id: string | null;
  tokenization_id: string | null;
  /** Null too where the record of the capture was deleted. */
  capture_id: string | null;
  status: ActivationSetStatus;
  /** Part imported, in [0, 1]. */
  progress: number;
  /** Why the import failed. */
  reason: string | null;
  /** File it was imported from, as the user named it. */
  origin: string;
  /** Tensor of that file. */
  tensor: string | null;
  source_dtype: string | null;
  n_tokens: number | null;
  /** Rows besides, which are never trained on; null for a set that keeps none apart. */
  held_out_tokens: number | null;
  d_in: number | null;
  bytes: number | null;
  sha256: string | null;
  /** Mean Euclidean norm of the rows. */
  mean_norm: number | null;
  created_at: string;
  /** Runs that use it; it cannot be deleted while there are any. */
  runs: number;
}
