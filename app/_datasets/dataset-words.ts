import type { DatasetOptions, DatasetSource } from "../../server/datasets/views.ts";
import type { Explanation } from "../_ui/info-tip.tsx";

/** Where a dataset came from, in a word or two. */
export function sourceWords(source: DatasetSource): string {
  switch (source.kind) {
    case "hub":
      return "From the hub";
    case "path":
      return "From the server’s disk";
    case "upload":
      return "Uploaded";
    case "sample":
      return "Comes with Facet";
  }
}

export function splitWords(split: DatasetOptions["split_on"]): string {
  if (split === null) return "Automatic";
  if (typeof split === "object") return `At ${JSON.stringify(split.separator)}`;
  return { file: "A file each", "blank-line": "At blank lines", line: "A line each" }[split];
}

export const datasetExplanations = {
  documents: { help: "Texts that stand for themselves; tokens of two are parted when they are packed." },
  characters: { help: "Unicode code points of all documents together." },
  mean: { help: "Characters of a document on average." },
  duplicates: {
    help: "Documents that are the same, letter for letter, as an earlier one. They are kept.",
  },
  empty: { help: "Documents without any character. They are left out." },
  repo: {
    help: "Owner and name, as the dataset’s address on the hub ends.",
    note: "The hub is FACET_HUB_URL, huggingface.co unless set.",
  },
  config: {
    help: "Which of the dataset’s configurations, such as a language or a sample of it.",
    note: "Empty: its default, or the only one.",
  },
  split: { help: "Such as train or validation.", note: "Empty: train, or the only one." },
  revision: {
    help: "Branch, tag or commit. The commit that it stands for is kept with the dataset.",
    note: "Parquet files are read. The hub keeps those of datasets in other formats at refs/convert/parquet.",
  },
  text_column: {
    help: "The column or field that holds the text, in JSON lines, CSV and Parquet. Others are kept beside it.",
    note: "Empty: text, else the only column of texts.",
  },
  split_on: {
    help: "How a plain text becomes documents. Other formats have a document a row.",
    note: "Automatic: a folder’s files are a document each; a single file is cut at blank lines.",
  },
  separator: { help: "The text between two documents, e.g. <|endoftext|>. \\n stands for a new line." },
  limit_documents: { help: "Ends the import after so many documents.", note: "Empty: takes them all." },
  limit_characters: {
    help: "Ends the import before the document that would go beyond so many characters.",
    note: "Empty: takes them all.",
  },
} as const satisfies Record<string, Explanation>;
