import { DatasetError } from "./dataset-error.ts";
import { maxDocumentBytes } from "./limits.ts";
import type { SplitOn } from "./options.ts";
import type { RawDocument } from "./raw-document.ts";
import { type Part, splitBytes } from "./split-bytes.ts";
import { decodeUtf8 } from "./utf8.ts";

const newline = Buffer.from("\n");

/**
 * Documents of a plain text. Within a document every byte is kept, but where lines are told apart (`line`,
 * `blank-line`) their ends become "\n", and the last one's is left away.
 */
export async function* textDocuments(
  pieces: AsyncIterable<Uint8Array>,
  file: string,
  splitOn: SplitOn,
): AsyncGenerator<RawDocument> {
  if (splitOn === "file") {
    const bytes = await gathered(pieces, file);
    yield { text: decodeUtf8(bytes, file, 0), meta: null, column: null, place: "the whole file" };
    return;
  }
  const byLines = splitOn === "line" || splitOn === "blank-line";
  const limit = {
    file,
    bytes: maxDocumentBytes,
    called: (number: number) => `${byLines ? "line" : "document"} ${number}`,
    advice: "Cut it elsewhere (split_on).",
  };
  const parts = splitBytes(pieces, byLines ? newline : Buffer.from(splitOn.separator), limit);
  if (splitOn === "blank-line") yield* paragraphs(parts, file);
  else {
    for await (const { bytes, number, offset } of parts) {
      const text = decodeUtf8(byLines ? withoutReturn(bytes) : bytes, file, offset);
      yield { text, meta: null, column: null, place: limit.called(number) };
    }
  }
}

async function gathered(pieces: AsyncIterable<Uint8Array>, file: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const piece of pieces) {
    size += piece.byteLength;
    if (size > maxDocumentBytes) {
      throw new DatasetError(
        `${file} is longer than ${maxDocumentBytes} bytes, the most that one document may have. Cut it into documents: split_on a blank line, a line or a separator.`,
      );
    }
    parts.push(piece);
  }
  return Buffer.concat(parts);
}

async function* paragraphs(lines: AsyncIterable<Part>, file: string): AsyncGenerator<RawDocument> {
  let text: string[] = [];
  let size = 0;
  let first = 1;
  const document = (): RawDocument => {
    const whole = { text: text.join("\n"), meta: null, column: null, place: `line ${first}` };
    text = [];
    size = 0;
    return whole;
  };
  for await (const { bytes, number, offset } of lines) {
    const line = decodeUtf8(withoutReturn(bytes), file, offset);
    if (line.trim() === "") {
      if (text.length > 0) yield document();
      continue;
    }
    if (text.length === 0) first = number;
    text.push(line);
    size += bytes.byteLength + 1;
    if (size > maxDocumentBytes) {
      throw new DatasetError(
        `${file}: from line ${first} on there is no blank line for more than ${maxDocumentBytes} bytes, the most that one document may have. Cut it elsewhere (split_on).`,
      );
    }
  }
  if (text.length > 0) yield document();
}

function withoutReturn(line: Uint8Array): Uint8Array {
  return line.at(-1) === 0x0d ? line.subarray(0, -1) : line;
}
