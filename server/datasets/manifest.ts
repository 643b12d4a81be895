import path from "node:path";
import { z } from "zod";
import { parseSettings, readJsonFile } from "../formats/json-file.ts";
import { asDatasetError } from "./dataset-error.ts";
import { importOptionsSchema } from "./options.ts";

export const formatVersion = 1;
export const manifestFile = "manifest.json";
export const indexFile = "documents.index";
export const shardFile = (number: number) => `documents-${String(number).padStart(5, "0")}.bin`;

/**
 * A document in `documents.index`: place of its text in all shards laid end to end (u64), bytes of the text in UTF-8
 * (u32), bytes of its columns in JSON, which follow the text (u32); little-endian. So document i is found at once.
 */
export const indexEntryBytes = 16;

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
export const lengthsSchema = z.object({
  shortest: count,
  longest: count,
  buckets: z.array(z.object({ from: count, to: count, count })).max(64),
});
const storedFile = z.object({ file: z.string().regex(/^[\w.-]{1,100}$/), bytes: count, sha256 });

const manifestSchema = z.object({
  format_version: z.literal(formatVersion),
  name: z.string().min(1),
  source: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("path"), path: z.string(), files: count }),
    z.object({
      kind: z.literal("hub"),
      repo: z.string(),
      config: z.string(),
      split: z.string(),
      revision: z.string(),
      /** What the revision stood for. */
      commit: z.string(),
      files: count,
    }),
  ]),
  options: importOptionsSchema,
  n_documents: count,
  /** Unicode code points. */
  n_characters: count,
  /** Of the texts, in UTF-8. */
  bytes: count,
  /** Of the texts alone, in order: SHA-256 over the SHA-256 of each. The same texts have the same hash, whatever the source. */
  sha256,
  columns: z.object({ text: z.string().nullable(), meta: z.array(z.string()) }),
  /** Documents by their number of characters. */
  lengths: lengthsSchema,
  /** Documents without any character, which are left away. */
  n_empty: count,
  /** Documents that are the same as an earlier one, among the first `among`. They are kept. */
  duplicates: z.object({ count, among: count }),
  /** Whether a limit of the options ended the import before the source did. */
  limited: z.boolean(),
  index: storedFile,
  shards: z.array(storedFile.extend({ first_document: count, n_documents: count })).max(2 ** 20),
  facet_version: z.string(),
  created_at: z.string(),
});

export type DatasetManifest = z.output<typeof manifestSchema>;
export type DatasetOrigin = DatasetManifest["source"];

/** Throws `DatasetError`. */
export async function readDatasetManifest(folder: string): Promise<DatasetManifest> {
  const file = path.join(folder, manifestFile);
  try {
    return parseSettings(file, manifestSchema, await readJsonFile(file));
  } catch (error) {
    throw asDatasetError(file, error);
  }
}
