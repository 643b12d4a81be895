import { mkdir, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { checkSpace, syncFolder } from "../artifacts/atomic-folder.ts";
import { storageError } from "../artifacts/storage-error.ts";
import { HubError } from "./hub-error.ts";
import type { HubOptions } from "./hub-options.ts";
import { PartFile } from "./part-file.ts";
import { addressOf, bodyStart, checkRemoteFile, describe, type RemoteFile } from "./remote-file.ts";
import { ask } from "./request.ts";
import { persistently, Retries, TransientError } from "./retries.ts";

export type { RemoteFile };

export interface DownloadedFile {
  bytes: number;
  sha256: string;
}

/**
 * @param bytes Of the file, on the disk so far, those of earlier calls included; fewer than before when it starts over.
 * @param note Why nothing comes, such as a wait that the hub asks for.
 */
export type OnBytes = (bytes: number, note?: string) => void;

/**
 * Downloads a file to `destination`, whole and verified or not at all. What has come stands in `<destination>.part`, from
 * which a later call goes on; a file that is there already and right is not downloaded again.
 * @throws HubError, StorageError, and the reason of `signal`
 */
export async function downloadFile(
  hub: HubOptions,
  file: RemoteFile,
  destination: string,
  signal: AbortSignal,
  onBytes: OnBytes = () => undefined,
): Promise<DownloadedFile> {
  checkRemoteFile(hub, file);
  const folder = path.dirname(path.resolve(destination));
  const partial = `${destination}.part`;
  try {
    await mkdir(folder, { recursive: true });
    // One that is there is looked at as a part is: by its hash.
    if (await isThere(destination)) await rename(destination, partial);
    const part = await PartFile.open(partial, file, signal);
    try {
      const found = await filled(hub, file, part, folder, signal, onBytes);
      await part.sync();
      await rename(partial, destination);
      await syncFolder(folder);
      return found;
    } catch (error) {
      if (error instanceof HubError && isLie(error)) await rm(partial, { force: true });
      throw error;
    } finally {
      await part.close();
    }
  } catch (error) {
    throw storageError(folder, error);
  }
}

/** Nothing of what came is of use. */
function isLie({ fault }: HubError): boolean {
  return fault === "damaged" || fault === "bad_answer";
}

/** Downloads what the part lacks, and once more from the start where the part of an earlier call proves wrong. */
async function filled(
  hub: HubOptions,
  file: RemoteFile,
  part: PartFile,
  folder: string,
  signal: AbortSignal,
  onBytes: OnBytes,
): Promise<DownloadedFile> {
  const retries = new Retries(hub.patience, signal, (words) => onBytes(part.bytes, words));
  for (let old = part.bytes > 0; ; old = false) {
    await checkSpace(folder, file.size - part.bytes);
    onBytes(part.bytes);
    await persistently(retries, async () => {
      if (part.bytes < file.size) await more(hub, file, part, signal, retries, onBytes);
    });
    const found = part.digest();
    if (found !== null) return found;
    if (!old) break;
    await part.restart();
  }
  throw new HubError(
    "damaged",
    `What the hub sends as ${describe(file)} has another hash than it lists. Nothing of it is kept; try again later, and do not trust this hub if it stays so.`,
  );
}

/** One request for what the part lacks, as far as it comes. */
async function more(
  hub: HubOptions,
  file: RemoteFile,
  part: PartFile,
  signal: AbortSignal,
  retries: Retries,
  onBytes: OnBytes,
): Promise<void> {
  const from = part.bytes;
  const range: Record<string, string> = from === 0 ? {} : { range: `bytes=${from}-` };
  const answer = await ask(hub, addressOf(hub, file), describe(file), range, signal);
  try {
    if (bodyStart(file, from, answer.status, answer.headers) < from) await part.restart();
    for await (const piece of answer.pieces()) {
      if (part.bytes + piece.byteLength > file.size) {
        throw new HubError(
          "bad_answer",
          `The hub lists ${describe(file)} with ${file.size} bytes, but sends more. Nothing of it is used; try again later.`,
        );
      }
      await part.add(piece);
      retries.reached(part.bytes);
      onBytes(part.bytes);
    }
  } finally {
    answer.close();
  }
  if (part.bytes === file.size) return;
  throw new TransientError(
    new HubError(
      "unavailable",
      `The hub ended ${describe(file)} after ${part.bytes} of its ${file.size} bytes. Try again later.`,
    ),
  );
}

async function isThere(file: string): Promise<boolean> {
  return stat(file).then(
    (found) => found.isFile(),
    () => false,
  );
}
