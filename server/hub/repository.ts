import type { HubOptions } from "./hub-options.ts";

export type RepositoryType = "model" | "dataset";

/** A repository of the hub at a branch, a tag or a commit. */
export interface RepositoryName {
  type: RepositoryType;
  /** `owner/name`. */
  repo: string;
  revision: string;
}

/** A file of a repository. */
export interface HubFile {
  /** Below the repository's root, with slashes. */
  path: string;
  size: number;
  /** Of the content, in hexadecimal digits; null for small files, which git keeps itself. */
  sha256: string | null;
  /** Git's own hash of those, SHA-1 over `blob <size>\0` and the content; null where sha256 is known. */
  git_sha1: string | null;
}

export interface Repository {
  /** Of the revision, in 40 hexadecimal digits: what is downloaded by it cannot change. */
  commit: string;
  /** Its terms must be accepted before a file is given. */
  gated: boolean;
  /** Sorted by path. */
  files: HubFile[];
}

/**
 * The files of a repository at a revision, folders within included. Files whose path no other disk could hold are left
 * out.
 * @param tell hears why it takes longer, such as a wait that the hub asks for
 * @throws HubError, and the reason of `signal`
 */
export async function listRepository(
  _hub: HubOptions,
  _name: RepositoryName,
  _signal: AbortSignal,
  _tell: (words: string) => void = () => undefined,
): Promise<Repository> {
  throw new Error("Follows in the next commit.");
}
