import { csvDocuments } from "./csv.ts";
import { DatasetError } from "./dataset-error.ts";
import { readFileBytes } from "./file-bytes.ts";
import { jsonLines } from "./json-lines.ts";
import type { SplitOn } from "./options.ts";
import { parquetDocuments } from "./parquet.ts";
import type { RawDocument } from "./raw-document.ts";
import type { SourceFile } from "./source-files.ts";
import { textDocuments } from "./text-documents.ts";

export interface DocumentReading {
  text_column: string | null;
  split_on: SplitOn;
  signal: AbortSignal;
  /** Bytes of the file, as it is stored, that were read since the last call. */
  onBytes(count: number): void;
}

/** Text that a Parquet file's dictionaries repeat; beyond this, past a few megabytes, it is a bomb. */
const maxRatio = 200;
const ratioAllowance = 64 * 2 ** 20;

/** The documents of a file in order, whatever its format. Memory does not grow with the file. Throws `DatasetError`. */
export function readDocuments(file: SourceFile, reading: DocumentReading): AsyncGenerator<RawDocument> {
  const { text_column, split_on, signal, onBytes } = reading;
  const pieces = () => readFileBytes(file.path, { shownAs: file.shownAs, signal, onBytes });
  switch (file.format) {
    case "text":
      return textDocuments(pieces(), file.shownAs, split_on);
    case "json-lines":
      return jsonLines(pieces(), file.shownAs, text_column);
    case "csv":
      return csvDocuments(pieces(), file.shownAs, ",", text_column);
    case "tsv":
      return csvDocuments(pieces(), file.shownAs, "\t", text_column);
    case "parquet":
      return inProportion(file, reading);
  }
}

async function* inProportion(file: SourceFile, reading: DocumentReading): AsyncGenerator<RawDocument> {
  let told = 0;
  let characters = 0;
  const task = { file: file.path, shownAs: file.shownAs, textColumn: reading.text_column };
  const documents = parquetDocuments(task, reading.signal, (share) => {
    const now = Math.round(share * file.bytes);
    reading.onBytes(now - told);
    told = now;
  });
  for await (const document of documents) {
    characters += document.text?.length ?? 0;
    if (characters > ratioAllowance + maxRatio * file.bytes) {
      throw new DatasetError(
        `${file.shownAs} has ${file.bytes} bytes but over ${characters} characters of text, which is out of all proportion.`,
      );
    }
    yield document;
  }
}
