import type { FileHandle } from "node:fs/promises";
import { safetensorsHeader } from "../../gpu/data/safetensors.ts";
import { writeWholeFile } from "./atomic-file.ts";

export interface SlicedTensor {
  name: string;
  /** Row-major; slices are of the first dimension. */
  shape: readonly number[];
}

/** Writes rows first … of the first dimension of the tensor `name`: data is [count, …rest]. */
export type WriteSlice = (name: string, first: number, data: Float32Array) => Promise<void>;

/**
 * Writes a safetensors file of F32 tensors that are made slice by slice, all of them at once, so that none is ever whole
 * in memory: sizes are known, so every slice has its place. `write` must write every element once. The file stands under
 * its name once it is whole, or not at all. Gives its bytes.
 * @throws StorageError, before `write` is called where the disk lacks the room; whatever `write` throws
 */
export async function writeSlicedSafetensors(
  target: string,
  tensors: readonly SlicedTensor[],
  metadata: Readonly<Record<string, string>>,
  write: (writeSlice: WriteSlice) => Promise<void>,
): Promise<number> {
  const header = safetensorsHeader(
    tensors.map(({ name, shape }) => ({ name, shape, dtype: "F32" as const })),
    metadata,
  );
  const places = new Map<string, { offset: number; rowBytes: number; bytes: number }>();
  let end = header.byteLength;
  for (const { name, shape } of tensors) {
    const rowBytes = shape.slice(1).reduce((product, extent) => product * extent, 4);
    const bytes = rowBytes * (shape[0] ?? 1);
    places.set(name, { offset: end, rowBytes, bytes });
    end += bytes;
  }
  await writeWholeFile(
    target,
    async (file) => {
      await writeAt(file, header, 0);
      let written = header.byteLength;
      await write(async (name, first, data) => {
        const place = places.get(name);
        if (place === undefined || first * place.rowBytes + data.byteLength > place.bytes) {
          throw new RangeError(`Row ${first} and ${data.length} numbers from there are not all in ${name}.`);
        }
        const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
        await writeAt(file, bytes, place.offset + first * place.rowBytes);
        written += bytes.byteLength;
      });
      // What nobody wrote would be read as zeros.
      if (written !== end) throw new Error(`${written} of ${end} bytes were written to ${target}.`);
    },
    end,
  );
  return end;
}

async function writeAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    // Node passes the length on as a signed 32-bit number.
    const length = Math.min(bytes.byteLength - done, 2 ** 30);
    const { bytesWritten } = await file.write(bytes, done, length, position + done);
    done += bytesWritten;
  }
}
