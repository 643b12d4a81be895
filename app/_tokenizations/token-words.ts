import type { TokenizationView, TokenizeOptions } from "../../server/tokens/views.ts";
import { formatPercent } from "../_ui/format.ts";
import type { Explanation } from "../_ui/info-tip.tsx";

export const bosLabels: Record<TokenizeOptions["bos"], string> = {
  sequence: "First in every sequence",
  document: "Before every document",
  none: "Nowhere",
};

export const separatorLabels: Record<TokenizeOptions["separator"], string> = {
  bos: "BOS",
  eos: "EOS",
  none: "None",
};

export const remainderLabels: Record<TokenizeOptions["remainder"], string> = {
  drop: "Dropped",
  pad: "Padded",
};

export const tokenExplanations = {
  context_size: {
    help: "Tokens of a sequence: what the model reads at once. Longer ones give later tokens more context and take more memory in a pass.",
    note: "Empty: 128, or what the model takes where that is less.",
    source: "SAELens context_size",
  },
  bos: {
    help: "Where the token stands that begins a text. Most models expect it first, and behave oddly without it. It is special, so it is never trained on.",
    source: "SAELens prepend_bos",
  },
  separator: {
    help: "The token between two documents that share a sequence, so that the model sees where one ends. It is special, so it is never trained on.",
    note: "With BOS first in every sequence it is BOS, else EOS where the model has one.",
    source: "SAELens sequence_separator_token",
  },
  remainder: {
    help: "What becomes of the last tokens, which do not fill a sequence: they are dropped, or the sequence is filled up with padding.",
  },
  held_out: {
    help: "Share of the sequences, at the end, that are never trained on, so that an SAE can be measured on text it has not seen.",
    note: "From 0 to 90 %. Where it is not 0, at least one of two or more sequences.",
  },
  text: { help: "Tokens of the documents themselves: what is captured and trained on." },
  special: { help: "BOS, EOS and other marks: they go through the model, but are not trained on." },
  padding: { help: "What fills up the last sequence; not trained on." },
} as const satisfies Record<string, Explanation>;

/** "128 tokens, BOS first, 5 % held out". */
export function optionsWords({ context_size, bos, held_out }: TokenizeOptions): string {
  const begin = { sequence: "BOS first", document: "BOS before documents", none: "no BOS" }[bos];
  return `${context_size} tokens, ${begin}, ${held_out === 0 ? "none" : formatPercent(held_out, 0)} held out`;
}

export function tokensPage({ id, dataset }: Pick<TokenizationView, "id" | "dataset">): string {
  return `/datasets/${dataset.id}/tokens/${id}`;
}
