import { z } from "zod";
import { nestsDeeperThan } from "../../gpu/data/json-depth.ts";
import { HubError } from "./hub-error.ts";
import type { HubOptions } from "./hub-options.ts";
import { checkRepository, checkRevision, isFilePath, isGitPath, shown } from "./names.ts";
import { type Answer, ask } from "./request.ts";
import { persistently, Retries } from "./retries.ts";

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

/** An answer of the API; a page of a listing takes a few hundred kilobytes. */
const maxAnswerBytes = 32 * 2 ** 20;
const maxAnswerDepth = 64;
const maxPages = 500;
/** Who asks what there is waits for the answer, so it comes soon. */
const failures = 4;
const maxFiles = 200_000;

const sha1 = z.string().regex(/^[0-9a-f]{40}$/);
const size = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const revisionAnswer = z.object({ sha: sha1, gated: z.union([z.boolean(), z.string()]).nullish() });
const treeAnswer = z.array(
  z.object({
    type: z.string(),
    path: z.string(),
    size: size.optional(),
    oid: z.string().nullish(),
    lfs: z.object({ oid: z.string().regex(/^[0-9a-f]{64}$/), size }).nullish(),
  }),
);

/**
 * The files of a repository at a revision, folders within included. Files whose path no other disk could hold are left
 * out.
 * @param tell hears why it takes longer, such as a wait that the hub asks for
 * @throws HubError, and the reason of `signal`
 */
export async function listRepository(
  hub: HubOptions,
  { type, repo, revision }: RepositoryName,
  signal: AbortSignal,
  tell: (words: string) => void = () => undefined,
): Promise<Repository> {
  checkRepository(repo);
  checkRevision(revision);
  const api = `${hub.url}/api/${type}s/${repo}`;
  const what = `${type} ${repo} at ${revision}`;
  const asking = { hub, what, signal, tell };
  const about = new URL(`${api}/revision/${encodeURIComponent(revision)}?expand=sha&expand=gated`);
  const { value, host } = await json(asking, about, revisionAnswer);
  const { sha: commit, gated } = value;
  const files: HubFile[] = [];
  let page: URL | null = new URL(`${api}/tree/${commit}?recursive=true&expand=false`);
  for (let pages = 0; page !== null; pages++) {
    const tree: { value: z.output<typeof treeAnswer>; next: URL | null } = await json(
      asking,
      page,
      treeAnswer,
    );
    for (const entry of tree.value) {
      const file = fileOf(entry, host, what);
      if (file !== null) files.push(file);
    }
    if (files.length > maxFiles || pages === maxPages) {
      throw new HubError(
        "too_large",
        `${host} lists more than ${maxFiles} files in ${what}; so many are not imported.`,
      );
    }
    page = tree.next;
  }
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  const twice = files.find(({ path }, index) => path === files[index + 1]?.path);
  if (twice !== undefined) throw new HubError("bad_answer", `${host} lists ${shown(twice.path)} twice.`);
  return { commit, gated: gated !== undefined && gated !== null && gated !== false, files };
}

interface Asking {
  hub: HubOptions;
  what: string;
  signal: AbortSignal;
  tell: (words: string) => void;
}

/** What a schema recognises in an answer, and the next page of it. */
async function json<T extends z.ZodType>(
  { hub, what, signal, tell }: Asking,
  url: URL,
  schema: T,
): Promise<{ value: z.output<T>; next: URL | null; host: string }> {
  const patience = { ...hub.patience, failures: Math.min(failures, hub.patience.failures) };
  return persistently(new Retries(patience, signal, tell), async () => {
    const answer = await ask(hub, url, what, { accept: "application/json" }, signal);
    const parsed = schema.safeParse(parsedJson(await textOf(answer, url.host), url.host));
    if (!parsed.success) {
      const { path, message } = parsed.error.issues[0]!;
      throw new HubError(
        "bad_answer",
        `${url.host} does not describe ${what} as a hub does (${path.join(".") || "the answer"}: ${message}). Check FACET_HUB_URL.`,
      );
    }
    return { value: parsed.data, next: nextPage(answer.headers.get("link"), url), host: url.host };
  });
}

async function textOf(answer: Answer, host: string): Promise<string> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of answer.pieces()) {
    bytes += piece.byteLength;
    if (bytes > maxAnswerBytes) {
      throw new HubError(
        "bad_answer",
        `${host} answers with more than ${maxAnswerBytes} bytes; no more are read.`,
      );
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

function parsedJson(text: string, host: string): unknown {
  try {
    if (!nestsDeeperThan(text, maxAnswerDepth)) return JSON.parse(text);
  } catch {
    // Told below.
  }
  throw new HubError("bad_answer", `${host} does not answer in JSON as a hub does. Check FACET_HUB_URL.`);
}

/** `Link: <address>; rel="next"`, on the hub itself. */
function nextPage(link: string | null, from: URL): URL | null {
  const address = /<([^>]*)>\s*;\s*rel="?next"?/.exec(link ?? "")?.[1];
  if (address === undefined) return null;
  const next = URL.canParse(address, from) ? new URL(address, from) : null;
  if (next?.origin === from.origin) return next;
  throw new HubError("bad_answer", `The next page of ${from.host}'s listing is not on ${from.host}.`);
}

function fileOf(entry: z.output<typeof treeAnswer>[number], host: string, what: string): HubFile | null {
  const { type, path, lfs, oid } = entry;
  if (!isGitPath(path)) {
    throw new HubError(
      "bad_answer",
      `${host} lists a file ${shown(path)} in ${what}, which no repository can hold. Do not trust this hub.`,
    );
  }
  if (type !== "file" || !isFilePath(path)) return null;
  if (lfs) return { path, size: lfs.size, sha256: lfs.oid, git_sha1: null };
  if (entry.size === undefined) {
    throw new HubError("bad_answer", `${host} does not say how long ${shown(path)} in ${what} is.`);
  }
  return { path, size: entry.size, sha256: null, git_sha1: sha1.safeParse(oid).data ?? null };
}
