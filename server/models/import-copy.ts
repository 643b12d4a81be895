import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { openRegularFile } from "../formats/regular-file.ts";
import { ModelFolderError } from "./model-folder-error.ts";

const pieceBytes = 4 * 2 ** 20;

/**
 * Copies a file as it is, hashed on the way and fsynced.
 * @param size What it had when it was looked at; one that has another now is being written, and refused.
 * @throws ModelFolderError, system errors of writing, and the reason of `signal`
 */
export async function copyFile(
  from: string,
  to: string,
  size: number,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<{ bytes: number; sha256: string }> {
  const source = await openRegularFile(from);
  try {
    if (source.size !== size) {
      throw new ModelFolderError(
        `${from} changed while it was being imported. Try again when it is finished.`,
      );
    }
    const target = await open(to, "w");
    try {
      const hash = createHash("sha256");
      for (let done = 0; done < size; ) {
        signal.throwIfAborted();
        const piece = await source.read(done, Math.min(pieceBytes, size - done));
        for (let written = 0; written < piece.byteLength; ) {
          written += (await target.write(piece, written)).bytesWritten;
        }
        hash.update(piece);
        done += piece.byteLength;
        onBytes(done);
      }
      await target.sync();
      return { bytes: size, sha256: hash.digest("hex") };
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}
