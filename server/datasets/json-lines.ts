import { nestsDeeperThan } from "../../gpu/data/json-depth.ts";
import { isJsonObject } from "../formats/json-file.ts";
import { chooseTextColumn, metaOf } from "./columns.ts";
import { DatasetError } from "./dataset-error.ts";
import { maxRecordBytes } from "./limits.ts";
import type { RawDocument } from "./raw-document.ts";
import { splitBytes } from "./split-bytes.ts";
import { decodeUtf8 } from "./utf8.ts";

/** Deeper ones of strangers take gigabytes. */
const maxDepth = 64;

/** A JSON object on every line, blank lines aside. The first one says which columns there are. */
export async function* jsonLines(
  pieces: AsyncIterable<Uint8Array>,
  file: string,
  wanted: string | null,
): AsyncGenerator<RawDocument> {
  const called = (number: number) => `line ${number}`;
  const limit = { file, bytes: maxRecordBytes, called, advice: "Cut its text into several documents." };
  let column: string | null = null;
  for await (const { bytes, number, offset } of splitBytes(pieces, Buffer.from("\n"), limit)) {
    const line = decodeUtf8(bytes, file, offset).trim();
    if (line === "") continue;
    const place = called(number);
    const row = parsedLine(line, file, place);
    column ??= chooseTextColumn(
      file,
      Object.entries(row).map(([name, value]) => ({ name, text: typeof value === "string" })),
      wanted,
    );
    const text = Object.hasOwn(row, column) ? row[column] : null;
    if (text !== null && typeof text !== "string") {
      throw new DatasetError(
        `${file}, ${place}: ${JSON.stringify(column)} is not a text but ${typeof text}.`,
      );
    }
    yield { text, meta: metaOf(Object.entries(row), column), column, place };
  }
}

function parsedLine(line: string, file: string, place: string): Record<string, unknown> {
  if (line.startsWith("[") && place === "line 1") {
    throw new DatasetError(
      `${file} begins with a list; JSON lines have an object on every line. Convert it: jq -c '.[]' ${file}`,
    );
  }
  if (nestsDeeperThan(line, maxDepth)) {
    throw new DatasetError(`${file}, ${place}: it nests deeper than ${maxDepth} levels.`);
  }
  let row: unknown;
  try {
    row = JSON.parse(line);
  } catch (error) {
    const why = error instanceof Error ? error.message.slice(0, 120) : String(error);
    throw new DatasetError(
      `${file}, ${place}: it is not JSON (${why}). Every line is to be an object.`,
      error,
    );
  }
  if (!isJsonObject(row)) throw new DatasetError(`${file}, ${place}: it is JSON, but not an object.`);
  return row;
}
