import type { DatasetOptions } from "../../server/datasets/views.ts";

/** How a source is read into documents, as it is typed and chosen. */
export interface TypedImport {
  text_column: string;
  split_on: SplitChoice;
  separator: string;
  limit_documents: string;
  limit_characters: string;
}

export type SplitChoice = "auto" | "file" | "blank-line" | "line" | "separator";

export const standardImport: TypedImport = {
  text_column: "",
  split_on: "auto",
  separator: "",
  limit_documents: "",
  limit_characters: "",
};

/** As a dataset's stored options would be typed. */
export function typedImport({
  text_column,
  split_on,
  limit_documents,
  limit_characters,
}: DatasetOptions): TypedImport {
  const separated = typeof split_on === "object" && split_on !== null;
  return {
    text_column: text_column ?? "",
    split_on: separated ? "separator" : (split_on ?? "auto"),
    separator: separated ? escaped(split_on.separator) : "",
    limit_documents: limit_documents?.toString() ?? "",
    limit_characters: limit_characters?.toString() ?? "",
  };
}

function numberIn(text: string): number {
  return Number(text.replaceAll(/[\s,_]/g, ""));
}

/** What cannot be sent, by field. */
export function importFaults(typed: TypedImport): Map<string, string> {
  const faults = new Map<string, string>();
  for (const [key, what] of [
    ["limit_documents", "documents"],
    ["limit_characters", "characters"],
  ] as const) {
    const limit = numberIn(typed[key]);
    if (typed[key].trim() !== "" && !(Number.isInteger(limit) && limit >= 1))
      faults.set(key, `The number of ${what} must be a whole number from 1.`);
  }
  if (typed.split_on === "separator" && typed.separator === "")
    faults.set("separator", "Say what stands between two documents.");
  return faults;
}

/** "\n" and "\t" as they are written in code. */
function unescaped(text: string): string {
  return text.replaceAll("\\n", "\n").replaceAll("\\t", "\t");
}

function escaped(text: string): string {
  return text.replaceAll("\n", "\\n").replaceAll("\t", "\\t");
}

function limit(text: string): number | null {
  return text.trim() === "" ? null : numberIn(text);
}

/** As the API takes them. */
export function importOptions({ text_column, split_on, separator, ...limits }: TypedImport) {
  return {
    text_column: text_column === "" ? null : text_column,
    split_on:
      split_on === "auto" ? null : split_on === "separator" ? { separator: unescaped(separator) } : split_on,
    limit_documents: limit(limits.limit_documents),
    limit_characters: limit(limits.limit_characters),
  };
}

/** As an upload's address takes them: what says something, as text. */
export function importParameters(typed: TypedImport): Record<string, string> {
  const { split_on, ...options } = importOptions(typed);
  const split =
    split_on === null ? {} : typeof split_on === "object" ? { separator: split_on.separator } : { split_on };
  const rest = Object.entries(options).flatMap(([key, value]) =>
    value === null ? [] : [[key, String(value)] as const],
  );
  return { ...Object.fromEntries(rest), ...split };
}
