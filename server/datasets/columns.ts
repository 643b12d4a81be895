import { DatasetError } from "./dataset-error.ts";
import type { DocumentMeta, MetaValue } from "./raw-document.ts";

/** Longest text that is kept beside a document; a longer one is another document rather than a fact about this one. */
export const maxMetaCharacters = 1_024;
/** Columns that are kept beside a text. */
export const maxMetaColumns = 32;

/** A column of a table and whether it holds texts. */
export interface Column {
  name: string;
  text: boolean;
}

/**
 * The column that holds the documents: the one that is asked for, else `text`, else the only one of texts.
 * @throws DatasetError that names the columns there are
 */
export function chooseTextColumn(file: string, columns: readonly Column[], wanted: string | null): string {
  const texts = columns.filter(({ text }) => text);
  const name = wanted ?? (texts.some((column) => column.name === "text") ? "text" : null);
  const found = columns.find((column) => column.name === name);
  if (found?.text === true) return found.name;
  const there = `Its columns are ${columns.length === 0 ? "none" : listed(columns)}.`;
  if (found !== undefined) {
    throw new DatasetError(`${file}: the column ${quoted(found.name)} does not hold texts. ${there}`);
  }
  if (wanted !== null) throw new DatasetError(`${file} has no column ${quoted(wanted)}. ${there}`);
  if (texts.length === 1) return texts[0]!.name;
  const why = texts.length === 0 ? "no column of texts" : "several columns of texts and none named text";
  const next = texts.length === 0 ? "" : " Say which is the text column.";
  throw new DatasetError(`${file} has ${why}. ${there}${next}`);
}

function listed(columns: readonly Column[]): string {
  const more = columns.length - 20;
  const names = columns.slice(0, 20).map(({ name, text }) => quoted(name) + (text ? " (text)" : ""));
  return names.join(", ") + (more > 0 ? ` and ${more} more` : "");
}

function quoted(name: string): string {
  return JSON.stringify(name.length > 60 ? `${name.slice(0, 60)}…` : name);
}

/** The scalars among a row's other columns; long texts, lists and objects are left away. Null where none is left. */
export function metaOf(row: Iterable<readonly [string, unknown]>, textColumn: string): DocumentMeta | null {
  const entries: [string, MetaValue][] = [];
  for (const [name, value] of row) {
    if (name === textColumn || entries.length >= maxMetaColumns || name.length > maxMetaCharacters) continue;
    const kept = metaValue(value);
    if (kept !== undefined) entries.push([name, kept]);
  }
  return entries.length === 0 ? null : Object.fromEntries(entries);
}

function metaValue(value: unknown): MetaValue | undefined {
  switch (typeof value) {
    case "boolean":
      return value;
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "bigint":
      return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
    case "string":
      return value.length <= maxMetaCharacters ? value : undefined;
    default:
      if (value === null) return null;
      return value instanceof Date && !Number.isNaN(value.getTime()) ? value.toISOString() : undefined;
  }
}
