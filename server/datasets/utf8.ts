import { DatasetError } from "./dataset-error.ts";

// Marks of byte order within a text are characters like any other.
const decoder = () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const strict = decoder();

/**
 * A text of UTF-8, byte for byte.
 * @param offset Of its first byte in the file, for the message.
 * @throws DatasetError with the place of the first byte that is wrong
 */
export function decodeUtf8(bytes: Uint8Array, file: string, offset: number): string {
  try {
    return strict.decode(bytes);
  } catch {
    throw notUtf8(file, offset + firstInvalid(bytes));
  }
}

/** Passes pieces of a text on once they are known to be UTF-8. Throws `DatasetError` with the place of the first wrong byte. */
export async function* checkedUtf8(
  pieces: AsyncIterable<Uint8Array>,
  file: string,
): AsyncGenerator<Uint8Array> {
  let check = decoder();
  let offset = 0;
  let tail = new Uint8Array();
  for await (const piece of pieces) {
    try {
      check.decode(piece, { stream: true });
    } catch {
      throw notUtf8(file, offset - tail.byteLength + firstInvalid(Buffer.concat([tail, piece])));
    }
    offset += piece.byteLength;
    // A character is at most four bytes long, so it may have begun in one of these.
    tail = Buffer.concat([tail, piece.subarray(-3)]).subarray(-3);
    tail = tail.subarray(startOfCharacter(tail));
    check = decoder();
    check.decode(tail, { stream: true });
    yield piece;
  }
  if (tail.byteLength > 0) decodeUtf8(tail, file, offset - tail.byteLength);
}

/** Where in the last bytes of a valid text a character begins that is not whole, or their number. */
function startOfCharacter(bytes: Uint8Array): number {
  for (let at = bytes.byteLength - 1; at >= 0; at--) {
    const byte = bytes[at]!;
    if (byte < 0x80) break;
    if (byte < 0xc0) continue;
    const length = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    return at + length > bytes.byteLength ? at : bytes.byteLength;
  }
  return bytes.byteLength;
}

/** The first byte that no valid text has there; the number of bytes where the last character is cut off. */
function firstInvalid(bytes: Uint8Array): number {
  let valid = 0;
  let invalid = bytes.byteLength + 1;
  while (invalid - valid > 1) {
    const middle = (valid + invalid) >> 1;
    try {
      decoder().decode(bytes.subarray(0, middle), { stream: true });
      valid = middle;
    } catch {
      invalid = middle;
    }
  }
  return valid;
}

function notUtf8(file: string, offset: number): DatasetError {
  return new DatasetError(
    `${file} is not UTF-8 at byte ${offset} of its text. Convert it first: iconv -f <its encoding> -t UTF-8.`,
  );
}

const loneSurrogate = /\p{Surrogate}/u;

/** Whether a text holds half a character, as JSON's \u escapes can; it could not be stored as it is. */
export function hasHalfCharacter(text: string): boolean {
  return loneSurrogate.test(text);
}
