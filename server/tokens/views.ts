import type { TokenizeOptions, TokenStatistics, WorkProgress } from "../../db/stored.ts";
import type { tokenizationStatuses } from "../../db/vocabulary.ts";
import type { DocumentSpan } from "./packer.ts";
import type { TokenChip, TokenPreview } from "./preview.ts";

export type { DocumentSpan, TokenChip, TokenizeOptions, TokenPreview, TokenStatistics, WorkProgress };
export type TokenizationStatus = (typeof tokenizationStatuses)[number];

/** What depends on a tokenization; it cannot be deleted while any of it is there. */
export interface TokenizationUses {
  captures: number;
  activation_sets: number;
  runs: number;
}

/** The row of a list. Dates are ISO strings. What is null is not known before it is ready. */
export interface TokenizationView {
  id: string;
  name: string;
  dataset: { id: string; name: string };
  /** The model whose tokenizer was used; others with the same tokenizer can read it too. */
  model: { id: string; name: string };
  status: TokenizationStatus;
  progress: WorkProgress | null;
  /** Why it failed: cause and next step. */
  reason: string | null;
  options: TokenizeOptions;
  /** Of the tokenizer.json that was used. */
  tokenizer_sha256: string;
  /** Tokens of a sequence. */
  context_size: number;
  n_sequences: number | null;
  /** The last ones, which are never trained on. */
  held_out_sequences: number | null;
  n_documents: number | null;
  /** Without special tokens and padding: what is trained on, held-out ones included. */
  n_text_tokens: number | null;
  n_special_tokens: number | null;
  n_padding_tokens: number | null;
  statistics: TokenStatistics | null;
  bytes: number | null;
  /** Of dataset, tokenizer and options together: the same is not made twice. */
  hash: string;
  created_at: string;
  uses: TokenizationUses;
}

/** A token of a stored sequence, as it is shown. */
export interface SequenceToken {
  id: number;
  /** What it stands for; bytes that are no whole character as `<0xE2>`. */
  text: string;
  kind: TokenChip["kind"];
}

export interface SequenceView {
  index: number;
  /** Whether it is among those that are never trained on. */
  held_out: boolean;
  tokens: SequenceToken[];
  /** Positions first … last hold tokens of a document, from its token `offset` on. */
  documents: DocumentSpan[];
}

export interface SequencePage {
  sequences: SequenceView[];
  /** Sequences in all. */
  total: number;
}
