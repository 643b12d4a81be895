import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { asDatasetError, DatasetError } from "./dataset-error.ts";
import type { DatasetOrigin } from "./manifest.ts";

export type FileFormat = "text" | "json-lines" | "csv" | "tsv" | "parquet";

/** A file that documents are read from. */
export interface SourceFile {
  path: string;
  /** In messages: as it was given, or below the folder that was given. */
  shownAs: string;
  format: FileFormat;
  /** As stored. */
  bytes: number;
  packed: boolean;
}

/** The files of a source, one after another, each only for as long as it is the current one. */
export interface SourceFiles {
  origin: DatasetOrigin;
  name: string;
  totalBytes: number;
  /** Plain texts of it are a document each, unless the options say otherwise. */
  wholeFiles: boolean;
  /** Largest number of bytes that its texts are known to have; 0 where that is not known. */
  expectedBytes: number;
  files(onDownloaded: (bytes: number) => void): AsyncIterable<SourceFile>;
}

const formats: Readonly<Record<string, FileFormat>> = {
  ".txt": "text",
  ".jsonl": "json-lines",
  ".ndjson": "json-lines",
  ".json": "json-lines",
  ".csv": "csv",
  ".tsv": "tsv",
  ".parquet": "parquet",
};
const readable =
  ".txt, .jsonl, .ndjson, .json (an object a line), .csv and .tsv, each also as .gz or .zst, and .parquet";
const maxFiles = 100_000;
const maxDepth = 16;

/** The file, or a folder's files in the order of their paths. Throws `DatasetError`. */
export async function sourceFiles(location: string, shownAs = location): Promise<SourceFile[]> {
  const found = await stat(location).catch((error: unknown) => {
    throw asDatasetError(location, error);
  });
  if (!found.isDirectory()) {
    const file = sourceFile(location, shownAs, found.size);
    if (file !== null) return [file];
    throw new DatasetError(`${shownAs} is of no format that is read. Those are ${readable}.`);
  }
  const files: SourceFile[] = [];
  await collect(location, "", 0, files);
  if (files.length > 0) return files;
  throw new DatasetError(`${location} holds no file that is read. Those are ${readable}.`);
}

/** Null where its name says no format. */
export function sourceFile(file: string, shownAs: string, bytes: number): SourceFile | null {
  const lower = file.toLowerCase();
  const packed = /\.(gz|zst)$/.test(lower);
  const format = formats[path.extname(packed ? lower.replace(/\.(gz|zst)$/, "") : lower)];
  if (format === undefined || (packed && format === "parquet")) return null;
  return { path: file, shownAs, format, bytes, packed };
}

async function collect(root: string, below: string, depth: number, files: SourceFile[]): Promise<void> {
  const folder = path.join(root, below);
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw asDatasetError(folder, error);
  });
  // By code units, wherever it is run.
  for (const { name } of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    if (name.startsWith(".")) continue;
    const within = path.join(below, name);
    const found = await stat(path.join(root, within)).catch((error: unknown) => {
      throw asDatasetError(path.join(root, within), error);
    });
    if (found.isDirectory()) {
      if (depth >= maxDepth) {
        throw new DatasetError(
          `${folder} lies deeper than ${maxDepth} folders. Give the folder of the files.`,
        );
      }
      await collect(root, within, depth + 1, files);
      continue;
    }
    const file = found.isFile() ? sourceFile(path.join(root, within), within, found.size) : null;
    if (file !== null) files.push(file);
    if (files.length > maxFiles) {
      throw new DatasetError(`${root} holds more than ${maxFiles} files. Put them together into fewer.`);
    }
  }
}
