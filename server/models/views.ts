import type { ModelSource, WorkProgress } from "../../db/stored.ts";
import type { modelStatuses } from "../../db/vocabulary.ts";
import type { HookPoint } from "../../gpu/lm/hook-points.ts";
import type { ModelSpec } from "../../gpu/lm/model-spec.ts";

import type { ModelPreview, ModelSizes } from "./preview.ts";

export type { ModelPreview, ModelSizes, ModelSource, WorkProgress };
export type ModelStatus = (typeof modelStatuses)[number];

/** What depends on a model; it cannot be deleted while any of it is there. */
export interface ModelUses {
  tokenizations: number;
  captures: number;
  activation_sets: number;
  runs: number;
}

/** The row of a list. Dates are ISO strings. What is null is not known before the import ends. */
export interface ModelSummary {
  id: string;
  name: string;
  status: ModelStatus;
  /** Of the import; null before it has begun to read. */
  progress: WorkProgress | null;
  /** Why the import failed: cause and next step. */
  reason: string | null;
  /** What it came from, as the user named it. */
  origin: string;
  source: ModelSource;
  /** Hugging Face's `model_type`. */
  model_type: string | null;
  d_model: number | null;
  n_layers: number | null;
  /** Longest sequence, in tokens. */
  n_ctx: number | null;
  d_vocab: number | null;
  parameters: number | null;
  /** Of all files on disk. */
  bytes: number | null;
  sha256: string | null;
  has_tokenizer: boolean | null;
  /** Of its tokenizer.json; null where it has none. */
  tokenizer_sha256: string | null;
  created_at: string;
  uses: ModelUses;
}

export interface ModelDetail extends ModelSummary {
  /** Folder relative to FACET_HOME. */
  path: string;
  spec: ModelSpec | null;
  /** In the order in which a pass comes by; empty before the import ends. */
  hook_points: HookPoint[];
  /** Bytes that the parameters alone take in memory, in each precision. */
  memory: ModelSizes["memory"] | null;
}

/** What an import would bring, before any weight is downloaded or copied. */
export interface ModelPreviewView extends ModelPreview {
  /** A model of the same source that is here already, or on its way. */
  existing: { id: string; name: string } | null;
}
