import type {
  DatasetOptions,
  DatasetSource,
  DatasetStatistics,
  LengthBucket,
  WorkProgress,
} from "../../db/stored.ts";
import type { datasetStatuses } from "../../db/vocabulary.ts";
import type { DocumentMeta } from "./raw-document.ts";

export type { SearchMatch } from "./search.ts";
export type { DatasetOptions, DatasetSource, DatasetStatistics, LengthBucket, WorkProgress };
export type DatasetStatus = (typeof datasetStatuses)[number];

/** The row of a list. Dates are ISO strings. What is null is not known before the import ends. */
export interface DatasetSummary {
  id: string;
  name: string;
  status: DatasetStatus;
  /** Of the import; null before it has begun to read. */
  progress: WorkProgress | null;
  /** Why the import failed: cause and next step. */
  reason: string | null;
  /** What it came from, as the user named it. */
  origin: string;
  source: DatasetSource;
  n_documents: number | null;
  n_characters: number | null;
  /** On disk. */
  bytes: number | null;
  sha256: string | null;
  created_at: string;
  /** Tokenizations made of it; it cannot be deleted while there are any. */
  tokenizations: number;
}

export interface DatasetDetail extends DatasetSummary {
  /** Folder relative to FACET_HOME. */
  path: string;
  options: DatasetOptions;
  statistics: DatasetStatistics | null;
}

/** A document, cut to the length that was asked for. */
export interface DocumentView {
  index: number;
  text: string;
  /** Of the whole document. */
  characters: number;
  truncated: boolean;
  /** What else the source says of it, as it stands there. */
  meta: DocumentMeta | null;
}

export interface DocumentPage {
  documents: DocumentView[];
  /** Documents in all. */
  total: number;
  /** Where to go on; null after the last. */
  next: number | null;
}
