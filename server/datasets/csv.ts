import { pipeline, Readable } from "node:stream";
import { CsvError, type Info, parse } from "csv-parse";
import { chooseTextColumn, metaOf } from "./columns.ts";
import { DatasetError } from "./dataset-error.ts";
import { maxRecordBytes } from "./limits.ts";
import type { RawDocument } from "./raw-document.ts";
import { checkedUtf8 } from "./utf8.ts";

interface CsvRecord {
  record: string[];
  info: Info;
}

/** CSV after RFC 4180, with a line of column names first; fields may hold lines of their own. */
export async function* csvDocuments(
  pieces: AsyncIterable<Uint8Array>,
  file: string,
  delimiter: "," | "\t",
  wanted: string | null,
): AsyncGenerator<RawDocument> {
  /** Line at which the record begins that is being parsed; the loop below is some records behind. */
  let parsing = 1;
  const parser = parse({
    delimiter,
    info: true,
    max_record_size: maxRecordBytes,
    skip_empty_lines: true,
    relax_column_count: false,
    on_record(record: string[], { lines }) {
      parsing = lines + 1;
      return record;
    },
  });
  // Its errors come out of the loop below.
  pipeline(Readable.from(checkedUtf8(pieces, file)), parser, () => undefined);
  let names: string[] | null = null;
  let column = "";
  let line = 1;
  try {
    for await (const { record, info } of parser as AsyncIterable<CsvRecord>) {
      if (names === null) {
        names = columnNames(record, file);
        column = chooseTextColumn(
          file,
          names.map((name) => ({ name, text: true })),
          wanted,
        );
      } else {
        const row = names.map((name, at) => [name, record[at]!] as const);
        const text = record[names.indexOf(column)]!;
        yield { text, meta: metaOf(row, column), column, place: `line ${line}` };
      }
      line = info.lines + 1;
    }
  } catch (error) {
    if (error instanceof CsvError) throw told(error, file, parsing);
    throw error;
  }
}

function columnNames(record: readonly string[], file: string): string[] {
  const twice = record.find((name, at) => record.indexOf(name) !== at);
  if (twice === undefined) return [...record];
  throw new DatasetError(
    `${file} names the column ${JSON.stringify(twice.slice(0, 60))} twice. Its first line is to name the columns, each once.`,
  );
}

function told(error: CsvError, file: string, line: number): DatasetError {
  const lines = "lines" in error && typeof error.lines === "number" ? error.lines : line;
  switch (error.code) {
    case "CSV_RECORD_INCONSISTENT_FIELDS_LENGTH":
      return new DatasetError(
        `${file}, line ${lines}: it has another number of fields than the line of column names. Text with commas, quotes or lines in it stands in quotes.`,
        error,
      );
    case "CSV_MAX_RECORD_SIZE":
      return new DatasetError(
        `${file}: the record that begins at line ${line} is longer than ${maxRecordBytes} bytes, the most that is read; a quote may not have been closed.`,
        error,
      );
    case "CSV_QUOTE_NOT_CLOSED":
      return new DatasetError(
        `${file}: the quote opened in the record at line ${line} is never closed.`,
        error,
      );
    default:
      return new DatasetError(
        `${file}, line ${lines}: it is not CSV (${error.message.slice(0, 160)}).`,
        error,
      );
  }
}
