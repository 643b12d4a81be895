import { DatasetError } from "./dataset-error.ts";

/** A part of a file between two separators. */
export interface Part {
  bytes: Uint8Array;
  /** From 1. */
  number: number;
  /** Of its first byte in the file. */
  offset: number;
}

/** What a part may be at most, and what it is called when it is more. */
export interface PartLimit {
  file: string;
  bytes: number;
  /** "line 3": the part of a number. */
  called(number: number): string;
  advice: string;
}

/** Cuts bytes at every `separator`, which belongs to no part. After the last one there is a part only if it is not empty. */
export async function* splitBytes(
  pieces: AsyncIterable<Uint8Array>,
  separator: Uint8Array,
  limit: PartLimit,
): AsyncGenerator<Part> {
  let rest: Buffer = Buffer.alloc(0);
  let offset = 0;
  let number = 1;
  const part = (bytes: Uint8Array): Part => {
    if (bytes.byteLength > limit.bytes) throw tooLong(limit, number);
    const whole = { bytes, number, offset };
    number++;
    offset += bytes.byteLength + separator.byteLength;
    return whole;
  };
  for await (const piece of pieces) {
    // A separator may lie across two pieces.
    let from = Math.max(0, rest.byteLength - separator.byteLength + 1);
    const bytes =
      rest.byteLength === 0
        ? Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
        : Buffer.concat([rest, piece]);
    let start = 0;
    for (;;) {
      const end = bytes.indexOf(separator, from);
      if (end < 0) break;
      yield part(bytes.subarray(start, end));
      start = end + separator.byteLength;
      from = start;
    }
    rest = bytes.subarray(start);
    if (rest.byteLength > limit.bytes) throw tooLong(limit, number);
  }
  if (rest.byteLength > 0) yield part(rest);
}

function tooLong(limit: PartLimit, number: number): DatasetError {
  return new DatasetError(
    `${limit.file}: ${limit.called(number)} is longer than ${limit.bytes} bytes, the most that is read. ${limit.advice}`,
  );
}
