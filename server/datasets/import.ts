import { readdir } from "node:fs/promises";
import path from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { writeFolder } from "../artifacts/atomic-folder.ts";
import { ConflictError, InvalidInputError } from "../errors.ts";
import { parseWithFaults } from "../faults.ts";
import type { HubOptions } from "../hub/hub-options.ts";
import { DatasetError } from "./dataset-error.ts";
import { charactersOf, DocumentWriter } from "./document-writer.ts";
import { hubShards } from "./hub-shards.ts";
import { maxDocumentBytes } from "./limits.ts";
import { type DatasetManifest, formatVersion, manifestFile } from "./manifest.ts";
import {
  type DatasetSource,
  type ImportOptions,
  type ImportOptionsInput,
  importOptionsSchema,
} from "./options.ts";
import { readDocuments } from "./read-documents.ts";
import { type SourceFiles, sourceFiles } from "./source-files.ts";
import { hasHalfCharacter } from "./utf8.ts";

export interface ImportProgress {
  stage: "downloading" | "reading";
  /** Of the source's files as they are stored: those downloaded for a hub's, those read for local ones. */
  bytes: number;
  total_bytes: number;
  documents: number;
  characters: number;
}

export interface DatasetImport {
  source: DatasetSource;
  /** Made by the import; one that holds something is refused. */
  folder: string;
  options: ImportOptionsInput;
  /** Needed for a source of the hub. */
  hub: HubOptions | null;
  signal: AbortSignal;
  onProgress(progress: ImportProgress): void;
}

/**
 * Reads documents and keeps them in `folder`, which appears once it is whole. Nothing of the source is held but what
 * is being read: memory and, for a hub, disk are bounded.
 * @throws InvalidInputError for options that are wrong; DatasetError for sources that are; ConflictError where the folder is in use
 */
export async function importDataset(request: DatasetImport): Promise<DatasetManifest> {
  const { data: options, faults } = parseWithFaults(importOptionsSchema, request.options, "");
  if (options === null) throw new InvalidInputError(faults);
  await refuseUsed(request.folder);
  const source = await filesOf(request);
  const { result } = await writeFolder(
    request.folder,
    async (folder) => {
      const writer = new DocumentWriter(folder);
      try {
        const read = await readAll(source, options, writer, request);
        const { metaColumns, ...statistics } = await writer.end();
        if (statistics.n_documents === 0) {
          throw new DatasetError(
            `There is no document in it: ${read.empty} of its texts are empty and there are no others.`,
          );
        }
        const manifest: DatasetManifest = {
          format_version: formatVersion,
          name: options.name ?? source.name,
          source: source.origin,
          options: { ...options, split_on: read.splitOn },
          ...statistics,
          columns: { text: read.textColumn, meta: metaColumns },
          n_empty: read.empty,
          limited: read.limited,
          facet_version: packageJson.version,
          created_at: new Date().toISOString(),
        };
        await folder.file(manifestFile, [Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)]);
        return manifest;
      } catch (error) {
        await writer.abandon();
        throw error;
      }
    },
    source.expectedBytes,
  );
  return result;
}

interface ReadSummary {
  empty: number;
  limited: boolean;
  textColumn: string | null;
  splitOn: ImportOptions["split_on"];
}

async function readAll(
  source: SourceFiles,
  options: ImportOptions,
  writer: DocumentWriter,
  { signal, onProgress }: DatasetImport,
): Promise<ReadSummary> {
  const summary: ReadSummary = { empty: 0, limited: false, textColumn: null, splitOn: null };
  let bytes = 0;
  const report = (stage: ImportProgress["stage"], more: number) => {
    bytes += more;
    const { documents, characters } = writer;
    onProgress({ stage, bytes, total_bytes: source.totalBytes, documents, characters });
  };
  const files = source.files((more) => report("downloading", more));
  for await (const file of files) {
    const split_on = options.split_on ?? (source.wholeFiles ? "file" : "blank-line");
    if (file.format === "text") summary.splitOn = split_on;
    const documents = readDocuments(file, {
      text_column: options.text_column,
      split_on,
      signal,
      onBytes: (more) => report("reading", source.origin.kind === "path" ? more : 0),
    });
    for await (const { text, meta, column, place } of documents) {
      signal.throwIfAborted();
      summary.textColumn = column;
      if (text === null || text === "") {
        summary.empty++;
        continue;
      }
      if (hasHalfCharacter(text)) {
        throw new DatasetError(
          `${file.shownAs}, ${place}: the text holds half a character (a surrogate of \\ud800 to \\udfff alone), which no UTF-8 has. Mend or remove it.`,
        );
      }
      const stored = Buffer.from(text);
      if (stored.byteLength > maxDocumentBytes) {
        throw new DatasetError(
          `${file.shownAs}, ${place}: the document has ${stored.byteLength} bytes; ${maxDocumentBytes} is the most. Cut it into several.`,
        );
      }
      const characters = charactersOf(stored);
      if (
        writer.documents === options.limit_documents ||
        (options.limit_characters !== null && writer.characters + characters > options.limit_characters)
      ) {
        summary.limited = true;
        return summary;
      }
      await writer.add(stored, characters, meta);
    }
  }
  return summary;
}

async function filesOf({ source, hub, folder, options, signal }: DatasetImport): Promise<SourceFiles> {
  if (source.kind === "hub") {
    if (hub === null) throw new Error("a hub is needed for a dataset of the hub");
    const whole = options.limit_documents == null && options.limit_characters == null;
    return hubShards({ hub, source, folder, whole, signal });
  }
  const files = await sourceFiles(source.path, source.shown_as);
  const totalBytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const whole = files.length > 1 || files[0]!.path !== source.path;
  return {
    origin: { kind: "path", path: source.shown_as ?? path.resolve(source.path), files: files.length },
    name: path.basename(path.resolve(source.path)),
    totalBytes,
    wholeFiles: whole,
    expectedBytes: files.every(({ format, packed }) => format === "text" && !packed) ? totalBytes : 0,
    files: async function* () {
      yield* files;
    },
  };
}

/** Throws `ConflictError` unless nothing is there. */
async function refuseUsed(folder: string): Promise<void> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    if (error.code === "ENOTDIR") return ["a file"];
    throw error;
  });
  if (names.length > 0) throw new ConflictError(`${folder} holds something already; name another folder.`);
}
