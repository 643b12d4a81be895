// Shapes of the rows' JSON columns; types only, so the browser can have them too.

/** How far a long piece of work is, in its own units. */
export interface WorkProgress {
  /** What is being done, in a word or two: "downloading", "tokenizing". */
  stage: string;
  done: number;
  /** Null where the end is not known beforehand. */
  total: number | null;
  unit: "bytes" | "documents" | "sequences" | "tokens";
  /** Rate of the last seconds, in units; null before there is one. */
  per_second: number | null;
  /** What it is about just now, such as a file; or why nothing comes. */
  note: string | null;
}

/** Where a model came from. */
export type ModelSource =
  | { kind: "folder"; path: string }
  /** `commit` is what the revision stood for when it was imported; null before that. */
  | { kind: "hub"; repo: string; revision: string; commit: string | null }
  /** The one that Facet brings along. */
  | { kind: "sample" };

/** Where a dataset came from. */
export type DatasetSource =
  | { kind: "path"; path: string }
  | { kind: "upload"; file_name: string }
  | {
      kind: "hub";
      repo: string;
      revision: string;
      /** Null: the default, or the only one. */
      config: string | null;
      split: string | null;
      commit: string | null;
    }
  | { kind: "sample" };

/** Documents whose length in characters is in [from, to]. */
export interface LengthBucket {
  from: number;
  to: number;
  count: number;
}

export interface DatasetStatistics {
  /** By powers of two. */
  lengths: { shortest: number; longest: number; buckets: LengthBucket[] };
  /** Documents without any character, which are left away. */
  n_empty: number;
  /** Documents that are the same as an earlier one, among the first `among`; they are kept. */
  duplicates: { count: number; among: number };
  /** Column that the text was taken from, null in plain text; and the others that are kept. */
  columns: { text: string | null; meta: string[] };
  /** Whether a limit of the options ended the import before the source did. */
  limited: boolean;
}

/** How a source is read into documents. */
export interface DatasetOptions {
  /** Null: `text`, else the only column of texts. */
  text_column: string | null;
  /** Null: a folder's plain texts are a document each; a single one is cut at blank lines. */
  split_on: "file" | "blank-line" | "line" | { separator: string } | null;
  limit_documents: number | null;
  limit_characters: number | null;
}

/** How text becomes sequences. */
export interface TokenizeOptions {
  /** Tokens of a sequence. */
  context_size: number;
  /** Where the model's BOS token stands: first in every sequence, before every document, or nowhere. */
  bos: "sequence" | "document" | "none";
  /** The token between two documents. */
  separator: "bos" | "eos" | "none";
  /** What becomes of the last tokens, which do not fill a sequence. */
  remainder: "drop" | "pad";
  /** Share of the sequences, at the end, that are never trained on. */
  held_out: number;
}

export interface TokenStatistics {
  /** Documents by their number of tokens, none put in front or behind. */
  document_tokens: { shortest: number; longest: number; buckets: LengthBucket[] };
  tokens_per_character: number;
  /** Tokens of documents that filled no sequence and were dropped. */
  n_dropped_tokens: number;
}

export interface CaptureOptions {
  /** Ids that count as special although the tokenizer does not call them so; their rows are not trained on. */
  excluded_token_ids: number[];
  /** Sequences that go through the model together; null: what fits. */
  batch_size: number | null;
}

/** What a capture takes, said before it begins. */
export interface CaptureEstimate {
  /** Of all hook points together, on disk: all files but the manifests. Exact. */
  bytes: number;
  /** That go through the model. */
  tokens: number;
  /** Rows of each set that are trained on. */
  rows: number;
  /** From a rate measured here with this model; null where none has been. */
  seconds: number | null;
  /** Where the rate comes from, or why there is none, in a sentence. */
  seconds_note: string;
}

/** An activation set as an evaluation remembers it. */
export interface EvaluatedSet {
  id: string;
  name: string;
  hook_name: string;
  n_tokens: number;
  d_in: number;
  sha256: string;
}

/** What an evaluation in a model was done with, as it remembers it. */
export interface EvaluationSubject {
  model: { id: string; name: string; sha256: string };
  tokenization: { id: string; name: string; hash: string; context_size: number };
  hook_name: string;
}
