import { Decompress } from "fzstd";
import { DatasetError } from "./dataset-error.ts";

/*
 * Zstandard streams (RFC 8878). The frames are taken apart here, so that a window is known before it is allocated and a
 * stream that ends early is told from one that is whole; fzstd unpacks the blocks. Checksums are not compared.
 */

/** What `zstd --long` makes at most by default; a frame may ask for exabytes. */
const maxWindowBytes = 2 ** 27;
const frameMagic = 0xfd2fb528;
const skippableMagic = 0x184d2a50;
const dictionaryIdBytes = [0, 1, 2, 4] as const;
const contentSizeBytes = [0, 2, 4, 8] as const;

/** @throws DatasetError for what is damaged, cut off, or asks for too large a window or a dictionary */
export async function* unpackZstd(
  pieces: AsyncIterable<Uint8Array>,
  file: string,
): AsyncGenerator<Uint8Array> {
  const source = new Taker(pieces, file);
  try {
    for (let start = await source.takeOrEnd(4); start !== null; start = await source.takeOrEnd(4)) {
      const magic = start.readUInt32LE();
      if ((magic & 0xfffffff0) >>> 0 === skippableMagic) {
        await source.skip((await source.take(4)).readUInt32LE());
      } else if (magic === frameMagic) yield* frame(source, start, file);
      else throw new DatasetError(`${file} is not a zstd stream, or is damaged. Copy or download it again.`);
    }
  } finally {
    await source.close();
  }
}

async function* frame(source: Taker, magic: Buffer, file: string): AsyncGenerator<Uint8Array> {
  const { header, checksum } = await frameHeader(source, file);
  let unpacked: Uint8Array[] = [];
  const decompressor = new Decompress((bytes) => {
    unpacked.push(bytes);
  });
  const push = (bytes: Uint8Array, last: boolean): Uint8Array[] => {
    try {
      decompressor.push(bytes, last);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new DatasetError(
        `${file} is damaged within its zstd stream (${why}). Copy or download it again.`,
        error,
      );
    }
    const done = unpacked;
    unpacked = [];
    return done;
  };
  push(Buffer.concat([magic, header]), false);
  for (let last = false; !last; ) {
    const blockHeader = await source.take(3);
    const word = blockHeader.readUIntLE(0, 3);
    last = (word & 1) === 1;
    const runLength = ((word >> 1) & 3) === 1;
    const block = await source.take(runLength ? 1 : word >> 3);
    const end = last && checksum ? await source.take(4) : Buffer.alloc(0);
    yield* push(Buffer.concat([blockHeader, block, end]), last);
  }
}

async function frameHeader(source: Taker, file: string): Promise<{ header: Buffer; checksum: boolean }> {
  const descriptor = await source.take(1);
  const flags = descriptor[0]!;
  const single = ((flags >> 5) & 1) === 1;
  const idBytes = dictionaryIdBytes[(flags & 3) as 0 | 1 | 2 | 3];
  const sizeFlag = (flags >> 6) as 0 | 1 | 2 | 3;
  const sizeBytes = sizeFlag === 0 && single ? 1 : contentSizeBytes[sizeFlag];
  const rest = await source.take((single ? 0 : 1) + idBytes + sizeBytes);
  if (rest.subarray(single ? 0 : 1, (single ? 0 : 1) + idBytes).some((byte) => byte !== 0)) {
    throw new DatasetError(`${file} was packed with a zstd dictionary, which is not in it. Unpack it first.`);
  }
  const window = single ? littleEndian(rest.subarray(idBytes)) : windowOf(rest[0]!);
  if (window > maxWindowBytes) {
    throw new DatasetError(
      `${file} asks for a zstd window of ${window} bytes; ${maxWindowBytes} is the most that is given. Unpack it first, or pack it without --ultra --long.`,
    );
  }
  return { header: Buffer.concat([descriptor, rest]), checksum: ((flags >> 2) & 1) === 1 };
}

function windowOf(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

function littleEndian(bytes: Uint8Array): number {
  return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
}

/** Takes exact numbers of bytes from pieces of any size. */
class Taker {
  readonly #pieces: AsyncIterator<Uint8Array>;
  readonly #file: string;
  #rest: Buffer = Buffer.alloc(0);

  constructor(pieces: AsyncIterable<Uint8Array>, file: string) {
    this.#pieces = pieces[Symbol.asyncIterator]();
    this.#file = file;
  }

  async take(count: number): Promise<Buffer> {
    const bytes = await this.takeOrEnd(count);
    if (bytes === null && count > 0) throw this.#cutOff();
    return bytes ?? Buffer.alloc(0);
  }

  /** Null where nothing is left. */
  async takeOrEnd(count: number): Promise<Buffer | null> {
    while (this.#rest.byteLength < count) {
      const next = await this.#pieces.next();
      if (next.done === true) {
        if (this.#rest.byteLength === 0) return null;
        throw this.#cutOff();
      }
      this.#rest = Buffer.concat([this.#rest, next.value]);
    }
    const bytes = this.#rest.subarray(0, count);
    this.#rest = this.#rest.subarray(count);
    return bytes;
  }

  async skip(count: number): Promise<void> {
    for (let left = count; left > 0; left -= 65_536) await this.take(Math.min(left, 65_536));
  }

  /** Lets go of what the pieces come from. */
  async close(): Promise<void> {
    await this.#pieces.return?.();
  }

  #cutOff(): DatasetError {
    return new DatasetError(`${this.#file} is cut off within its zstd stream. Copy or download it again.`);
  }
}
