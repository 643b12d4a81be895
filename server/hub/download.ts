import type { HubOptions } from "./hub-options.ts";
import type { RepositoryType } from "./repository.ts";

/** A file of a listing, to download. */
export interface RemoteFile {
  type: RepositoryType;
  repo: string;
  commit: string;
  path: string;
  size: number;
  sha256: string | null;
  git_sha1?: string | null;
}

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
  _hub: HubOptions,
  _file: RemoteFile,
  _destination: string,
  _signal: AbortSignal,
  _onBytes: OnBytes = () => undefined,
): Promise<DownloadedFile> {
  throw new Error("Follows in the next commit.");
}
