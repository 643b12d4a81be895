import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import type { ByteSource } from "../../gpu/data/safetensors.ts";
import { ServiceError } from "../errors.ts";

/** A file that became shorter while it was being read. */
export class FileCutError extends ServiceError {
  override readonly name = "FileCutError";
  constructor(file: string, end: number) {
    super(
      "invalid",
      `${file} now ends at byte ${end}: it was cut off while being read. Write it again and retry.`,
    );
  }
}

/** A file open for reading at any place. */
export interface FileSource extends ByteSource {
  close(): Promise<void>;
}

export async function openFile(file: string): Promise<FileSource> {
  const handle = await open(file, "r");
  try {
    const { size } = await handle.stat();
    return {
      size,
      read: (offset, length) => readExactly(handle, file, offset, length),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function readExactly(
  handle: FileHandle,
  file: string,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    // Node passes the length on as a signed 32-bit number.
    const { bytesRead } = await handle.read(bytes, done, Math.min(length - done, 2 ** 30), offset + done);
    if (bytesRead === 0) throw new FileCutError(file, offset + done);
    done += bytesRead;
  }
  return bytes;
}

/** SHA-256 of a source's bytes, read in pieces. Throws the reason of `signal`. */
export async function hashSource(
  source: ByteSource,
  pieceBytes = 4 * 2 ** 20,
  signal?: AbortSignal,
): Promise<string> {
  const hash = createHash("sha256");
  for (let offset = 0; offset < source.size; offset += pieceBytes) {
    signal?.throwIfAborted();
    hash.update(await source.read(offset, Math.min(pieceBytes, source.size - offset)));
  }
  return hash.digest("hex");
}
