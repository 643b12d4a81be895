import { HubError } from "./hub-error.ts";
import type { HubOptions } from "./hub-options.ts";
import { checkRepository, checkRevision, isFilePath, shown } from "./names.ts";
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

/** Throws `HubError` where no repository can have such a file, or it is larger than what may be downloaded. */
export function checkRemoteFile(hub: HubOptions, { repo, commit, path, size }: RemoteFile): void {
  checkRepository(repo);
  checkRevision(commit);
  if (!isFilePath(path)) {
    throw new HubError("bad_name", `${shown(path)} is not the path of a file in a repository.`);
  }
  if (size > hub.limit_bytes) {
    throw new HubError(
      "too_large",
      `${shown(path)} of ${repo} has ${size} bytes; ${hub.limit_bytes} is the most that is downloaded (FACET_DOWNLOAD_LIMIT_BYTES).`,
    );
  }
}

export function addressOf(hub: HubOptions, { type, repo, commit, path }: RemoteFile): URL {
  const within = path.split("/").map(encodeURIComponent).join("/");
  return new URL(
    `${hub.url}/${type === "dataset" ? "datasets/" : ""}${repo}/resolve/${encodeURIComponent(commit)}/${within}`,
  );
}

export function describe({ repo, path }: RemoteFile): string {
  return `${path} of ${repo}`;
}

/**
 * Bytes `from` to the end (the last of them, `end` included, where it is given) of an answer to a request for them.
 * @returns where the body begins: `from`, or 0 where the server gives the whole file
 * @throws HubError where it gives others, or says another size than the listing
 */
export function bodyStart(file: RemoteFile, from: number, status: number, headers: Headers): number {
  const encoding = headers.get("content-encoding");
  if (encoding !== null && encoding !== "identity") {
    throw new HubError("bad_answer", `The hub sends ${describe(file)} encoded as ${shown(encoding)}.`);
  }
  if (status === 200) {
    const length = headers.get("content-length");
    if (length !== null && length !== String(file.size)) throw otherSize(file, length);
    return 0;
  }
  const range = headers.get("content-range") ?? "";
  const parts = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(range);
  if (parts === null || Number(parts[1]) !== from) {
    throw new HubError(
      "bad_answer",
      `The hub sends other bytes of ${describe(file)} (${shown(range)}) than those asked for, from ${from} on.`,
    );
  }
  if (parts[3] !== "*" && Number(parts[3]) !== file.size) throw otherSize(file, parts[3]!);
  return from;
}

function otherSize(file: RemoteFile, size: string): HubError {
  return new HubError(
    "bad_answer",
    `The hub lists ${describe(file)} with ${file.size} bytes, but sends ${size}. Nothing of it is used; try again later.`,
  );
}
