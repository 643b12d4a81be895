import {
  type AsyncBuffer,
  type Compressors,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type RowGroup,
} from "hyparquet";
import { compressors, decompressZstd } from "hyparquet-compressors";
import type { FileSource } from "../artifacts/file-source.ts";
import { openRegularFile } from "../formats/regular-file.ts";
import { type Column, chooseTextColumn, maxMetaCharacters, maxMetaColumns, metaOf } from "./columns.ts";
import { asDatasetError, DatasetError } from "./dataset-error.ts";
import { pieceBytes } from "./limits.ts";
import type { RawDocument } from "./raw-document.ts";
import { decodeUtf8 } from "./utf8.ts";

/*
 * Parquet by hyparquet, a row group at a time. hyparquet believes what pages claim of themselves, so a hostile file may
 * make it take all memory there is: this is run in a thread whose memory is limited (parquet.ts).
 */

/** A group of rows is unpacked whole. Writers make them of some megabytes up to a few hundred. */
const maxGroupBytes = 512 * 2 ** 20;
const maxGroupRows = 2 ** 24;
const maxFooterBytes = 64 * 2 ** 20;

/** Documents that follow one another, and how far in the file they reach. */
export interface ParquetBatch {
  documents: RawDocument[];
  rows: number;
  totalRows: number;
}

/** @throws DatasetError */
export async function* parquetRows(
  file: string,
  shownAs: string,
  wanted: string | null,
): AsyncGenerator<ParquetBatch> {
  const source = await openRegularFile(file).catch((error: unknown) => {
    throw asDatasetError(shownAs, error);
  });
  try {
    const buffer = bufferOf(source);
    await checkFooter(source, shownAs);
    const metadata = await parquetMetadataAsync(buffer, { geoparquet: false });
    const columns = columnsOf(metadata);
    const text = chooseTextColumn(shownAs, columns, wanted);
    const totalRows = metadata.row_groups.reduce((sum, group) => sum + Number(group.num_rows), 0);
    let first = 0;
    for (const group of metadata.row_groups) {
      const count = Number(group.num_rows);
      const taken = columnsToRead(group, columns, text, shownAs);
      const rows = await readGroup({ buffer, metadata, first, count, columns: taken, shownAs });
      yield* batches(rows, { text, first, totalRows, shownAs });
      first += count;
    }
  } catch (error) {
    throw parquetFailure(shownAs, error);
  } finally {
    await source.close();
  }
}

function* batches(
  rows: readonly Record<string, unknown>[],
  at: { text: string; first: number; totalRows: number; shownAs: string },
): Generator<ParquetBatch> {
  let documents: RawDocument[] = [];
  let size = 0;
  for (const [index, row] of rows.entries()) {
    const place = `row ${at.first + index + 1}`;
    documents.push(documentOf(row, at.text, place, at.shownAs));
    size += documents.at(-1)!.text?.length ?? 0;
    if (size < pieceBytes && documents.length < 1_000 && index + 1 < rows.length) continue;
    yield { documents, rows: at.first + index + 1, totalRows: at.totalRows };
    documents = [];
    size = 0;
  }
}

function documentOf(
  row: Record<string, unknown>,
  column: string,
  place: string,
  shownAs: string,
): RawDocument {
  const value = row[column] ?? null;
  if (value instanceof Uint8Array) decodeUtf8(value, `${shownAs}, ${place}`, 0);
  if (value !== null && typeof value !== "string") {
    throw new DatasetError(`${shownAs}, ${place}: ${JSON.stringify(column)} is not a text.`);
  }
  return { text: value, meta: metaOf(Object.entries(row), column), column, place };
}

/** Texts are recognised by their annotation: bytes without one are bytes. */
function columnsOf(metadata: FileMetaData): Column[] {
  return parquetSchema(metadata)
    .children.filter(
      ({ children, element }) => children.length === 0 && element.repetition_type !== "REPEATED",
    )
    .map(({ element }) => ({
      name: element.name,
      text:
        element.type === "BYTE_ARRAY" &&
        (element.converted_type === "UTF8" || element.logical_type?.type === "STRING"),
    }));
}

/** The text and what is small beside it. */
function columnsToRead(group: RowGroup, columns: readonly Column[], text: string, shownAs: string): string[] {
  const rows = Number(group.num_rows);
  const bytes = new Map(
    group.columns.map(({ meta_data }) => [
      meta_data?.path_in_schema.join("."),
      Number(meta_data?.total_uncompressed_size ?? 0),
    ]),
  );
  if (rows > maxGroupRows || (bytes.get(text) ?? 0) > maxGroupBytes) {
    throw new DatasetError(
      `${shownAs} has a row group of ${rows} rows and ${bytes.get(text) ?? 0} bytes; at most ${maxGroupRows} rows and ${maxGroupBytes} bytes are unpacked at once. Write it with smaller row groups.`,
    );
  }
  const small = columns.filter(
    ({ name }) => name !== text && (bytes.get(name) ?? Number.POSITIVE_INFINITY) <= rows * maxMetaCharacters,
  );
  return [text, ...small.slice(0, maxMetaColumns).map(({ name }) => name)];
}

interface GroupToRead {
  buffer: AsyncBuffer;
  metadata: FileMetaData;
  first: number;
  count: number;
  columns: string[];
  shownAs: string;
}

async function readGroup(group: GroupToRead): Promise<Record<string, unknown>[]> {
  const { buffer, metadata, first, count, columns, shownAs } = group;
  if (count === 0) return [];
  return parquetReadObjects({
    file: buffer,
    metadata,
    columns,
    rowStart: first,
    rowEnd: first + count,
    utf8: false,
    geoparquet: false,
    compressors: limited(shownAs),
    parsers: {
      // Bytes that are no text are told with their row.
      stringFromBytes: (bytes: Uint8Array | undefined) => {
        try {
          return bytes === undefined ? undefined : strict.decode(bytes);
        } catch {
          return bytes;
        }
      },
    },
  });
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** What unpacks pages, each to the size that its header claims and all of a group to no more than a group may have. */
function limited(shownAs: string): Compressors {
  let total = 0;
  const within = (length: number): number => {
    total += length;
    if (length >= 0 && total <= 2 * maxGroupBytes) return length;
    throw new DatasetError(
      `${shownAs}: a row group's pages unpack to more than ${2 * maxGroupBytes} bytes. Write it with smaller row groups.`,
    );
  };
  const unpackers: Compressors = {
    ...compressors,
    ZSTD: (input, length) => decompressZstd(input, new Uint8Array(length)),
  };
  return Object.fromEntries(
    Object.entries(unpackers).map(([codec, unpack]) => [
      codec,
      (input: Uint8Array, length: number) => unpack(input, within(length)),
    ]),
  );
}

function bufferOf(source: FileSource): AsyncBuffer {
  return {
    byteLength: source.size,
    async slice(start, end = source.size) {
      if (!(start >= 0 && start <= end && end <= source.size) || end - start > 2 * maxGroupBytes) {
        throw new Error(`it points to bytes ${start} to ${end} of ${source.size}`);
      }
      const bytes = await source.read(start, end - start);
      return bytes.buffer as ArrayBuffer;
    },
  };
}

async function checkFooter(source: FileSource, shownAs: string): Promise<void> {
  const tail = source.size < 12 ? Buffer.alloc(8) : Buffer.from(await source.read(source.size - 8, 8));
  if (tail.toString("latin1", 4) !== "PAR1") {
    throw new DatasetError(
      `${shownAs} does not end as Parquet does: it is cut off or something else. Copy or download it again.`,
    );
  }
  const footer = tail.readUInt32LE();
  if (footer > maxFooterBytes) {
    throw new DatasetError(
      `${shownAs} has a footer of ${footer} bytes; ${maxFooterBytes} is the most that is read.`,
    );
  }
}

/** What went wrong while a Parquet file was read, as a `DatasetError` where the file is to blame. */
export function parquetFailure(shownAs: string, error: unknown): unknown {
  const told = asDatasetError(shownAs, error);
  if (told instanceof DatasetError || !(error instanceof Error)) return told;
  return new DatasetError(
    `${shownAs} is damaged, or is Parquet of a kind that is not read (${error.message.slice(0, 200)}). Copy or download it again, or write it anew.`,
    error,
  );
}
