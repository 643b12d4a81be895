import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

/**
 * A hub on loopback that speaks Hugging Face's protocol, and misbehaves where it is told to. Large files lie, as there,
 * with another host: their address redirects to it.
 */

export interface HubRepository {
  type: "model" | "dataset";
  repo: string;
  /** By path. */
  files: Record<string, Buffer | string>;
  gated?: boolean;
  /** Only for who has this token. */
  token?: string;
}

/** What goes wrong with one answer. */
export type Fault =
  | { status: number; headers?: Record<string, string> }
  | { redirect: string }
  /** The connection breaks after so many bytes of the body. */
  | { cut: number }
  /** Nothing comes after so many bytes of the body. */
  | { stall: number }
  /** A pause before every so many bytes. */
  | { slow_ms: number; piece: number }
  /** One bit of the body is another. */
  | { flipped: true }
  /** More (or, negative, fewer) bytes come than the listing says; without `chunked` their number is stated. */
  | { longer: number; chunked?: true }
  /** The whole file comes, whatever was asked for. */
  | { ignore_range: true; cut?: number }
  /** The body is said to be encoded. */
  | { encoded: string }
  /** Other bytes come than those that were asked for. */
  | { shifted: number };

export interface HubRequest {
  /** "cdn" is the host that large files are redirected to. */
  at: "hub" | "cdn";
  url: string;
  /** Of the file that is asked for; null for the API. */
  path: string | null;
  range: string | null;
  authorization: string | null;
  /** Requests for the same thing before this one. */
  before: number;
}

export interface HubServer {
  url: string;
  /** `host:port` that large files are redirected to. */
  cdn: string;
  /** All that came so far. */
  requests: HubRequest[];
  /** What goes wrong with an answer; may be replaced at any time. */
  fault: (request: HubRequest) => Fault | null;
  /** Changes what the listing says of a file. */
  listed: (path: string, entry: TreeEntry) => TreeEntry;
  close(): Promise<void>;
}

export interface TreeEntry {
  type: string;
  oid: string;
  size: number;
  path: string;
  lfs?: { oid: string; size: number; pointerSize: number };
}

/** Files that the hub keeps outside git. */
const large = /\.(safetensors|parquet|bin|gz|zst|arrow)$/;
/** Entries of a page of a listing. */
const pageEntries = 3;

export function commitOf({ repo }: Pick<HubRepository, "repo">): string {
  return createHash("sha1").update(repo).digest("hex");
}

export async function startHub(repositories: readonly HubRepository[]): Promise<HubServer> {
  const cdn = createServer();
  const main = createServer();
  const [mainPort, cdnPort] = await Promise.all([listening(main), listening(cdn)]);
  const hub: HubServer = {
    url: `http://127.0.0.1:${mainPort}`,
    cdn: `127.0.0.1:${cdnPort}`,
    requests: [],
    fault: () => null,
    listed: (_path, entry) => entry,
    async close() {
      for (const server of [main, cdn]) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
  main.on("request", (request, response) => void answer(hub, repositories, "hub", request, response));
  cdn.on("request", (request, response) => void answer(hub, repositories, "cdn", request, response));
  return hub;
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

async function answer(
  hub: HubServer,
  repositories: readonly HubRepository[],
  at: "hub" | "cdn",
  { url = "", headers }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const found = whatIsAsked(repositories, url);
  const request: HubRequest = {
    at,
    url,
    path: found?.path ?? null,
    range: headers.range ?? null,
    authorization: headers.authorization ?? null,
    before: hub.requests.filter((one) => one.at === at && one.url === url).length,
  };
  hub.requests.push(request);
  const fault = hub.fault(request);
  if (fault !== null && "status" in fault) return end(response, fault.status, fault.headers);
  if (fault !== null && "redirect" in fault) return end(response, 302, { location: fault.redirect });
  if (found === null) return end(response, 404, { "x-error-code": "RepoNotFound" });
  const { repository, rest, path } = found;
  if (
    at === "hub" &&
    repository.token !== undefined &&
    request.authorization !== `Bearer ${repository.token}`
  ) {
    // What a gated repository lists is for everyone to see.
    if (repository.gated !== true) return end(response, 401, { "x-error-code": "RepoNotFound" });
    if (path !== null) {
      return end(response, request.authorization === null ? 401 : 403, { "x-error-code": "GatedRepo" });
    }
  }
  if (path === null) return describe(hub, repository, rest, response);
  const content = repository.files[path];
  if (content === undefined) return end(response, 404, { "x-error-code": "EntryNotFound" });
  if (at === "hub" && large.test(path)) {
    return end(response, 302, { location: `http://${hub.cdn}${url}?signature=secret` });
  }
  await send(Buffer.from(content), request.range, fault, response);
}

/** The repository that an address of the API, or of a file, belongs to. */
function whatIsAsked(
  repositories: readonly HubRepository[],
  url: string,
): { repository: HubRepository; rest: string; path: string | null } | null {
  for (const repository of repositories) {
    const { type, repo } = repository;
    const api = `/api/${type}s/${repo}/`;
    if (url.startsWith(api)) return { repository, rest: url.slice(api.length), path: null };
    const files = `${type === "dataset" ? "/datasets" : ""}/${repo}/resolve/`;
    if (!url.startsWith(files)) continue;
    const [, path = ""] = /^[^/?]+\/([^?]+)/.exec(url.slice(files.length)) ?? [];
    return { repository, rest: "", path: decodeURIComponent(path) };
  }
  return null;
}

function end(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  response.writeHead(status, headers).end();
}

function describe(hub: HubServer, repository: HubRepository, rest: string, response: ServerResponse): void {
  const commit = commitOf(repository);
  const [, kind, revision = "", query = ""] = /^(revision|tree)\/([^/?]+)\??(.*)$/.exec(rest) ?? [];
  if (!["main", "v1", "refs%2Fpr%2F1", commit].includes(revision)) {
    end(response, 404, { "x-error-code": "RevisionNotFound" });
    return;
  }
  if (kind === "revision") {
    json(response, { sha: commit, gated: repository.gated ? "manual" : false });
    return;
  }
  const entries = Object.entries(repository.files).map(([path, content]) =>
    hub.listed(path, entryOf(path, Buffer.from(content))),
  );
  const from = Number(new URLSearchParams(query).get("cursor") ?? 0);
  const link =
    from + pageEntries < entries.length
      ? {
          link: `<${hub.url}/api/${repository.type}s/${repository.repo}/tree/${commit}?recursive=true&cursor=${from + pageEntries}>; rel="next"`,
        }
      : {};
  json(response, entries.slice(from, from + pageEntries), link);
}

function json(response: ServerResponse, value: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(200, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
}

function entryOf(path: string, content: Buffer): TreeEntry {
  const blob = (bytes: Buffer) =>
    createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
  const entry = { type: "file", size: content.length, path };
  if (!large.test(path)) return { ...entry, oid: blob(content) };
  const oid = createHash("sha256").update(content).digest("hex");
  const pointer = Buffer.from(
    `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${content.length}\n`,
  );
  return { ...entry, oid: blob(pointer), lfs: { oid, size: content.length, pointerSize: pointer.length } };
}

async function send(
  whole: Buffer,
  range: string | null,
  fault: Fault | null,
  response: ServerResponse,
): Promise<void> {
  let content = whole;
  if (fault !== null && "longer" in fault) {
    content =
      fault.longer < 0 ? whole.subarray(0, fault.longer) : Buffer.concat([whole, Buffer.alloc(fault.longer)]);
  }
  const asked = fault !== null && "ignore_range" in fault ? null : /^bytes=(\d+)-(\d*)$/.exec(range ?? "");
  const shift = fault !== null && "shifted" in fault ? fault.shifted : 0;
  const first = Number(asked?.[1] ?? 0) + shift;
  const last = asked?.[2] ? Math.min(content.length - 1, Number(asked[2])) : content.length - 1;
  if (first > last && content.length > 0) return end(response, 416);
  let body = content.subarray(first, last + 1);
  if (fault !== null && "flipped" in fault) {
    body = Buffer.from(body);
    body[body.length >> 1]! ^= 1;
  }
  response.writeHead(asked === null ? 200 : 206, {
    ...(fault !== null && "encoded" in fault ? { "content-encoding": fault.encoded } : {}),
    ...(fault !== null && "chunked" in fault ? {} : { "content-length": String(body.length) }),
    ...(asked === null ? {} : { "content-range": `bytes ${first}-${last}/${content.length}` }),
  });
  if (fault !== null && "slow_ms" in fault) {
    for (let at = 0; at < body.length && !response.destroyed; at += fault.piece) {
      await pause(fault.slow_ms);
      response.write(body.subarray(at, at + fault.piece));
    }
  } else if (fault !== null && ("cut" in fault || "stall" in fault)) {
    const stop = "cut" in fault ? (fault.cut ?? body.length) : "stall" in fault ? fault.stall : body.length;
    response.write(body.subarray(0, stop), () => {
      // What was written is to arrive before the connection breaks.
      if ("cut" in fault && stop < body.length) setTimeout(() => response.destroy(), 50);
    });
    if (stop < body.length) return;
  } else {
    response.write(body);
  }
  response.end();
}
