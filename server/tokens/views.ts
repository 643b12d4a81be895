import type { WorkProgress } from "../../db/stored.ts";
import type { tokenizationStatuses } from "../../db/vocabulary.ts";

export type { WorkProgress };
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
  /** The model whose tokenizer was used. */
  model: { id: string; name: string };
  status: TokenizationStatus;
  progress: WorkProgress | null;
  /** Why it failed: cause and next step. */
  reason: string | null;
  options: TokenizeOptionsView;
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
  bytes: number | null;
  /** Of dataset, tokenizer and options together: the same is not made twice. */
  hash: string;
  created_at: string;
  uses: TokenizationUses;
}

/** How text becomes sequences, as it was asked for. */
export type TokenizeOptionsView = Record<string, string | number | boolean | null>;

/** A token as it is shown. */
export interface TokenChip {
  id: number;
  /** As it stands in the text; a part of a character that spans tokens is shown as its bytes. */
  text: string;
  kind: "text" | "special" | "padding";
}

/** Where a document lies in a sequence. */
export interface DocumentSpanView {
  document: number;
  /** First and last position. */
  first: number;
  last: number;
  /** The document's token at `first`. */
  offset: number;
}

export interface SequenceView {
  index: number;
  /** Whether it is among those that are never trained on. */
  held_out: boolean;
  tokens: TokenChip[];
  documents: DocumentSpanView[];
}

export interface SequencePage {
  sequences: SequenceView[];
  /** Sequences in all. */
  total: number;
}

/** The first sequences as they would be made, before anything is written. */
export interface TokenPreviewView {
  sequences: Omit<SequenceView, "held_out">[];
  /** Characters a token, over what was read; the number of tokens of the whole follows from it. */
  characters_per_token: number;
  /** Estimated from that; null for a text of its own. */
  n_text_tokens: number | null;
}
