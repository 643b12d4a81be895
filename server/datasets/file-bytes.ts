import { pipeline, Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { openRegularFile } from "../formats/regular-file.ts";
import { asDatasetError, DatasetError } from "./dataset-error.ts";
import { pieceBytes } from "./limits.ts";
import { unpackZstd } from "./zstd-frames.ts";

export interface ReadingOptions {
  /** What the file is called in messages. */
  shownAs: string;
  signal: AbortSignal;
  /** Bytes of the file, as it is stored, that were read since the last call. */
  onBytes(count: number): void;
}

/** Text packs to a third or a tenth, logs to a fiftieth; beyond this, past a few megabytes, it is a bomb. */
const maxRatio = 200;
const ratioAllowanceBytes = 64 * 2 ** 20;

/**
 * The bytes of a file in pieces of a megabyte or so, unpacked where its name ends in `.gz` or `.zst`. A mark of byte
 * order at the start of UTF-8 is left away.
 * @throws DatasetError for what is missing, cut off, damaged or unpacks out of proportion
 */
export async function* readFileBytes(file: string, options: ReadingOptions): AsyncGenerator<Uint8Array> {
  const { shownAs } = options;
  let stored = 0;
  const counting = {
    ...options,
    onBytes(count: number) {
      stored += count;
      options.onBytes(count);
    },
  };
  const bytes = storedBytes(file, counting);
  const name = file.toLowerCase();
  const unpacked = name.endsWith(".gz")
    ? gunzipped(bytes, shownAs)
    : name.endsWith(".zst")
      ? unpackZstd(bytes, shownAs)
      : bytes;
  let given = 0;
  let gathered: Uint8Array[] = [];
  let size = 0;
  let first = true;
  const piece = () => {
    const whole = gathered.length === 1 ? gathered[0]! : Buffer.concat(gathered);
    gathered = [];
    size = 0;
    const marked = first && whole[0] === 0xef && whole[1] === 0xbb && whole[2] === 0xbf;
    first = false;
    return marked ? whole.subarray(3) : whole;
  };
  for await (const part of unpacked) {
    given += part.byteLength;
    if (unpacked !== bytes && given > ratioAllowanceBytes + maxRatio * stored) {
      throw new DatasetError(
        `${shownAs} unpacks from ${stored} to over ${given} bytes, which no text does. Unpack it first if you know what it is.`,
      );
    }
    gathered.push(part);
    size += part.byteLength;
    if (size >= pieceBytes) yield piece();
  }
  if (size > 0) yield piece();
}

async function* storedBytes(
  file: string,
  { signal, onBytes, shownAs }: ReadingOptions,
): AsyncGenerator<Uint8Array> {
  try {
    const source = await openRegularFile(file);
    try {
      for (let at = 0; at < source.size; at += pieceBytes) {
        signal.throwIfAborted();
        const bytes = await source.read(at, Math.min(pieceBytes, source.size - at));
        onBytes(bytes.byteLength);
        yield bytes;
      }
    } finally {
      await source.close();
    }
  } catch (error) {
    throw asDatasetError(shownAs, error);
  }
}

async function* gunzipped(bytes: AsyncIterable<Uint8Array>, file: string): AsyncGenerator<Uint8Array> {
  const gunzip = createGunzip();
  // Its errors come out of the loop below.
  pipeline(Readable.from(bytes), gunzip, () => undefined);
  try {
    for await (const piece of gunzip) yield piece as Uint8Array;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "Z_BUF_ERROR") {
      throw new DatasetError(`${file} is cut off within its gzip stream. Copy or download it again.`, error);
    }
    if (typeof code === "string" && code.startsWith("Z_")) {
      throw new DatasetError(
        `${file} is not a gzip stream, or is damaged. Copy or download it again.`,
        error,
      );
    }
    throw error;
  }
}
