import { promisify } from "node:util";
import { crc32, inflateRaw } from "node:zlib";
import { type Entry, fromRandomAccessReaderPromise, RandomAccessReader, type ZipFile } from "yauzl";
import type { FileSource } from "../artifacts/file-source.ts";
import { openRegularFile } from "./regular-file.ts";
import { asFormatError, SaeFormatError } from "./sae-format-error.ts";

/*
 * Zip archives of tensors (torch's .pt, numpy's .npz), from strangers. yauzl reads the directory; the bytes themselves
 * are read here, after every size has been held against the file's, and checked by their CRC.
 */

/** SAEs take tens of entries, whole models thousands. */
const maxEntries = 10_000;
/** Weights hardly compress; what unpacks to more than this many times its size, beyond a few megabytes, is a bomb. */
const maxRatio = 20;
const ratioAllowanceBytes = 64 * 2 ** 20;
/** Longest typed array. */
const maxEntryBytes = 2 ** 32 - 8;

export interface ZipEntry {
  readonly name: string;
  /** Unpacked. */
  readonly bytes: number;
  /** All of it, whole and unchanged by its CRC. Throws `SaeFormatError`. */
  read(): Promise<Uint8Array>;
  /** At most so many bytes from its start, not checked by the CRC. Throws `SaeFormatError`. */
  readStart(count: number): Promise<Uint8Array>;
}

export interface ZipArchive {
  readonly file: string;
  readonly entries: ReadonlyMap<string, ZipEntry>;
  close(): Promise<void>;
}

/**
 * Opens an archive and checks its directory: no entry twice, encrypted, packed by something other than deflate, over
 * another, beyond the file, with a path outside the archive, or out of proportion. Throws `SaeFormatError`.
 */
export async function openZip(file: string): Promise<ZipArchive> {
  try {
    const source = await openRegularFile(file);
    try {
      const zip = await fromRandomAccessReaderPromise(new SourceReader(source), source.size, {
        autoClose: false,
        strictFileNames: true,
      });
      return { file, entries: await readDirectory(file, zip, source), close: () => source.close() };
    } catch (error) {
      await source.close();
      throw error;
    }
  } catch (error) {
    throw zipError(file, error);
  }
}

/**
 * What yauzl reads the directory through. Its own reader hands places of 2^53 and more, as zip64 can name them, to
 * fs.read, which throws them back where nobody can catch them.
 */
class SourceReader extends RandomAccessReader {
  readonly #source: FileSource;

  constructor(source: FileSource) {
    super();
    this.#source = source;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null, bytesRead?: number) => void,
  ): void {
    if (!Number.isSafeInteger(position) || position < 0 || position + length > this.#source.size) {
      setImmediate(callback, new Error(`its directory points to byte ${position}, outside the file`));
      return;
    }
    this.#source.read(position, length).then(
      (bytes) => {
        buffer.set(bytes, offset);
        callback(null, length);
      },
      (error: Error) => callback(error),
    );
  }
}

async function readDirectory(
  file: string,
  zip: ZipFile,
  source: FileSource,
): Promise<ReadonlyMap<string, ZipEntry>> {
  if (zip.entryCount > maxEntries) {
    throw new SaeFormatError(
      `${file} claims ${zip.entryCount} entries; ${maxEntries} is the most that is read.`,
    );
  }
  const listed: Entry[] = [];
  for await (const entry of zip.eachEntry()) {
    checkEntry(file, entry);
    listed.push(entry);
  }
  checkOverlap(file, listed, source.size);
  const entries = new Map<string, ZipEntry>();
  for (const entry of listed) {
    if (entries.has(entry.fileName)) {
      throw new SaeFormatError(
        `${file} has two entries named ${entry.fileName}; it was not written by torch or numpy.`,
      );
    }
    entries.set(entry.fileName, {
      name: entry.fileName,
      bytes: entry.uncompressedSize,
      read: () => readEntry(file, zip, source, entry),
      readStart: async (count) => {
        if (entry.compressionMethod !== 0) {
          return (await readEntry(file, zip, source, entry)).subarray(0, count);
        }
        const start = await dataStart(file, zip, entry);
        return source.read(start, Math.min(count, entry.uncompressedSize));
      },
    });
  }
  return entries;
}

function checkEntry(file: string, entry: Entry): void {
  const { fileName, compressionMethod, compressedSize, uncompressedSize } = entry;
  const refuse = (why: string) => new SaeFormatError(`${file}: the entry ${fileName} ${why}`);
  if (entry.isEncrypted()) throw refuse("is encrypted. Unpack it and save it without a password.");
  if (compressionMethod !== 0 && compressionMethod !== 8) {
    throw refuse(
      `is packed by method ${compressionMethod}; torch and numpy store or deflate. Save it again.`,
    );
  }
  if (uncompressedSize > maxEntryBytes) {
    throw refuse(`unpacks to ${uncompressedSize} bytes; ${maxEntryBytes} is the most that is read at once.`);
  }
  if (uncompressedSize > ratioAllowanceBytes + maxRatio * compressedSize) {
    throw refuse(
      `claims to unpack from ${compressedSize} to ${uncompressedSize} bytes, which weights never do.`,
    );
  }
}

/** Entries that share bytes are how a small archive unpacks to a huge one. */
function checkOverlap(file: string, entries: readonly Entry[], size: number): void {
  const inOrder = entries.toSorted((a, b) => a.relativeOffsetOfLocalHeader - b.relativeOffsetOfLocalHeader);
  for (const [index, entry] of inOrder.entries()) {
    const end = entry.relativeOffsetOfLocalHeader + 30 + entry.fileNameRaw.length + entry.compressedSize;
    const next = inOrder[index + 1];
    if (end > (next?.relativeOffsetOfLocalHeader ?? size)) {
      const over = next ? `lies over ${next.fileName}` : "reaches beyond the end of the file";
      throw new SaeFormatError(`${file}: the entry ${entry.fileName} ${over}. Copy or download it again.`);
    }
  }
}

async function dataStart(file: string, zip: ZipFile, entry: Entry): Promise<number> {
  try {
    const header = await zip.readLocalFileHeaderPromise(entry);
    if (!header.fileName.equals(entry.fileNameRaw) || header.compressionMethod !== entry.compressionMethod) {
      throw new Error(`the entry ${entry.fileName} is something else where it begins`);
    }
    return header.fileDataStart;
  } catch (error) {
    throw zipError(file, error);
  }
}

const unpack = promisify<Uint8Array, { maxOutputLength: number }, Buffer>(inflateRaw);

async function readEntry(file: string, zip: ZipFile, source: FileSource, entry: Entry): Promise<Uint8Array> {
  const start = await dataStart(file, zip, entry);
  try {
    const packed = await source.read(start, entry.compressedSize);
    const { uncompressedSize } = entry;
    const bytes =
      entry.compressionMethod === 0
        ? packed
        : await unpack(packed, { maxOutputLength: Math.max(1, uncompressedSize) });
    if (bytes.byteLength !== uncompressedSize || crc32(bytes) !== entry.crc32) {
      throw new Error(`the entry ${entry.fileName} does not match its size and CRC`);
    }
    return bytes;
  } catch (error) {
    throw zipError(file, error);
  }
}

/** yauzl and zlib say what is wrong in plain errors; the sentence around it is ours. */
function zipError(file: string, error: unknown): unknown {
  const known = asFormatError(file, error);
  if (known instanceof SaeFormatError || !(error instanceof Error)) return known;
  return new SaeFormatError(
    `${file} is not a whole zip archive (${error.message}). Copy or download it again.`,
    error,
  );
}
