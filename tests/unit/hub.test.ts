import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { StorageError } from "../../server/artifacts/storage-error.ts";
import { downloadFile, type RemoteFile } from "../../server/hub/download.ts";
import { HubError, type HubFault } from "../../server/hub/hub-error.ts";
import type { HubOptions } from "../../server/hub/hub-options.ts";
import { remoteSource } from "../../server/hub/remote-source.ts";
import { listRepository } from "../../server/hub/repository.ts";
import { commitOf, type Fault, type HubRequest, type HubServer, startHub } from "../reference/hub-server.ts";

const token = "hf_0123456789secret";
/** Bytes without a pattern that a shift could hide in. */
const bytes = (length: number) =>
  Buffer.from(Uint32Array.from({ length: length / 4 }, (_, i) => Math.imul(i + 1, 2_654_435_761)).buffer);
const weights = bytes(3 * 2 ** 20);
const model = {
  type: "model" as const,
  repo: "tests/tiny",
  files: {
    "README.md": "words",
    "config.json": '{"a": 1}',
    "empty.txt": "",
    "model.safetensors": weights,
    "sub/folder/ü b.txt": "within",
    "vocab.json": "{}",
  },
};
const dataset = {
  type: "dataset" as const,
  repo: "tests/tiny",
  files: { "data/train.parquet": bytes(400), "train.jsonl": '{"text": "a"}\n' },
};
const locked = { type: "model" as const, repo: "tests/locked", token, files: { "config.json": "{}" } };
const gated = { ...locked, repo: "tests/gated", gated: true };

// Servers and processes take longer on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

let server: HubServer;
let hub: HubOptions;
let home: string;
let signal: AbortSignal;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-hub-"));
  server = await startHub([model, dataset, locked, gated]);
  signal = new AbortController().signal;
  hub = {
    url: server.url,
    token: null,
    hosts: [server.cdn],
    limit_bytes: 2 ** 30,
    patience: { stall_ms: 1_000, backoff_ms: 4, failures: 4, longest_wait_ms: 2_000, waits: 3 },
  };
});
afterEach(async () => {
  await server.close();
  await rm(home, { recursive: true, force: true });
});

const sha256 = (content: Buffer | string) => createHash("sha256").update(content).digest("hex");

async function remote(file: string, repository: typeof model | typeof dataset = model): Promise<RemoteFile> {
  const { type, repo } = repository;
  const { commit, files } = await listRepository(hub, { type, repo, revision: "main" }, signal);
  return { type, repo, commit, ...files.find((one) => one.path === file)! };
}

/** What goes wrong with the answers that bring the file's bytes, in order; after them nothing does. */
function faults(...inOrder: Fault[]): void {
  const wanted = inOrder[Symbol.iterator]();
  server.fault = ({ at, path: file }: HubRequest) =>
    file === null || (at === "hub" && file.endsWith(".safetensors")) ? null : (wanted.next().value ?? null);
}

const always = (fault: Fault) => {
  server.fault = ({ path: file }) => (file === null ? null : fault);
};

/** Rejects as a `HubError` of that fault, in words that show neither the token nor a signed address. */
async function refused(work: Promise<unknown>, fault: HubFault, words: RegExp): Promise<void> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(HubError);
  const { message, fault: found } = error as HubError;
  expect(message).toMatch(words);
  expect(found).toBe(fault);
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    expect(`${at.message} ${at.stack}`).not.toMatch(/hf_0123|signature/);
  }
}

const target = () => path.join(home, "model.safetensors");
const downloaded = async () => (await readFile(target())).equals(weights);

describe("a listing", () => {
  it("has every file of all its pages, with the hashes that the hub keeps, and the commit", async () => {
    const {
      commit,
      gated: asks,
      files,
    } = await listRepository(hub, { type: "model", repo: "tests/tiny", revision: "refs/pr/1" }, signal);
    expect([commit, asks]).toEqual([commitOf(model), false]);
    expect(files.map(({ path: name }) => name)).toEqual(Object.keys(model.files).sort());
    const find = (name: string) => files.find((one) => one.path === name);
    expect(find("model.safetensors")).toEqual({
      path: "model.safetensors",
      size: weights.length,
      sha256: sha256(weights),
      git_sha1: null,
    });
    // git hash-object of a file with "words".
    expect(find("README.md")).toMatchObject({
      size: 5,
      sha256: null,
      git_sha1: createHash("sha1").update("blob 5\0words").digest("hex"),
    });
    expect(server.requests.some(({ url }) => url.includes("refs%2Fpr%2F1"))).toBe(true);
  });

  it("is of datasets too, which are not models of the same name", async () => {
    const { files } = await listRepository(
      hub,
      { type: "dataset", repo: "tests/tiny", revision: "v1" },
      signal,
    );
    expect(files.map((file) => file.path)).toEqual(["data/train.parquet", "train.jsonl"]);
    await downloadFile(hub, await remote("train.jsonl", dataset), path.join(home, "t"), signal);
    expect(await readFile(path.join(home, "t"), "utf8")).toBe(dataset.files["train.jsonl"]);
  });

  const list = (repo: string, revision = "main") =>
    listRepository(hub, { type: "model", repo, revision }, signal);

  it("says what is not there, private or gated, and what to do about it", async () => {
    await refused(list("tests/none"), "not_found", /127\.0\.0\.1:\d+ has no model tests\/none at main/);
    await refused(list("tests/tiny", "v9"), "not_found", /no such revision/);
    await refused(list("tests/locked"), "not_found", /private.*FACET_HUB_TOKEN/);
    expect((await list("tests/gated")).gated).toBe(true);
    hub = { ...hub, token: "hf_0123wrong" };
    await refused(list("tests/locked"), "denied", /FACET_HUB_TOKEN is valid/);
    hub = { ...hub, token };
    expect((await list("tests/locked")).files).toHaveLength(1);
  });

  it("sends nothing for a name that no repository has", async () => {
    await refused(list("../../secrets"), "bad_name", /not the name of a repository/);
    await refused(list("tests/tiny", "../main"), "bad_name", /not a revision/);
    expect(server.requests).toEqual([]);
  });

  it.each([["../../etc/passwd"], ["/etc/passwd"], ["a/../../b"], ["a//b"]])(
    "is refused where it has a file %s",
    async (name) => {
      server.listed = (file, entry) => (file === "vocab.json" ? { ...entry, path: name } : entry);
      await refused(list("tests/tiny"), "bad_answer", /no repository can hold/);
    },
  );

  it("leaves out what a disk cannot hold, and folders", async () => {
    server.listed = (file, entry) =>
      file === "vocab.json"
        ? { ...entry, path: "a\\b" }
        : file === "README.md"
          ? { ...entry, type: "directory" }
          : entry;
    expect((await list("tests/tiny")).files.map((file) => file.path)).toEqual([
      "config.json",
      "empty.txt",
      "model.safetensors",
      "sub/folder/ü b.txt",
    ]);
  });

  it.each<[string, (entry: object) => unknown]>([
    ["a negative size", (entry) => ({ ...entry, size: -1 })],
    ["half a byte", (entry) => ({ ...entry, size: 0.5 })],
    ["a hash that is none", (entry) => ({ ...entry, lfs: { oid: "../x", size: 1 } })],
    ["no size", (entry) => ({ ...entry, size: undefined })],
    ["nothing", () => null],
  ])("is refused where it gives a file %s", async (_name, change) => {
    server.listed = (file, entry) => (file === "config.json" ? (change(entry) as typeof entry) : entry);
    await refused(list("tests/tiny"), "bad_answer", /does not (describe|say how long)/);
  });

  it("is asked for again where the hub fails twice, and not for ever", async () => {
    server.fault = ({ before }) => (before < 2 ? { status: 500 } : null);
    expect((await list("tests/tiny")).files).toHaveLength(6);
    server.fault = () => ({ status: 503 });
    server.requests.length = 0;
    await refused(list("tests/tiny"), "unavailable", /failed \(503\)/);
    expect(server.requests).toHaveLength(4);
  });

  it("is refused from a hub that leads to another host", async () => {
    server.fault = () => ({ redirect: "http://localhost:9/x" });
    await refused(list("tests/tiny"), "redirected", /redirects to localhost:9 .*FACET_HUB_HOSTS/);
  });

  it("follows a repository that was renamed, on the hub itself, and gives up going in circles", async () => {
    server.fault = ({ url }) => (url.includes("/old/") ? { redirect: url.replace("/old/", "/tiny/") } : null);
    expect((await list("tests/old")).files).toHaveLength(6);
    server.fault = ({ url }) => ({ redirect: url });
    await refused(list("tests/tiny"), "bad_answer", /more than 5 times/);
  });
});

describe("a download", () => {
  it("brings the file from where the hub keeps it, and the token does not go there", async () => {
    hub = { ...hub, token };
    const seen: number[] = [];
    const found = await downloadFile(hub, await remote("model.safetensors"), target(), signal, (done) => {
      seen.push(done);
    });
    expect(found).toEqual({ bytes: weights.length, sha256: sha256(weights) });
    expect(await downloaded()).toBe(true);
    expect([seen[0], seen.at(-1)]).toEqual([0, weights.length]);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.length).toBeGreaterThan(4);
    const at = (host: string) => server.requests.filter((one) => one.at === host);
    expect(at("cdn").map((one) => one.authorization)).toEqual([null]);
    expect(new Set(at("hub").map((one) => one.authorization))).toEqual(new Set([`Bearer ${token}`]));
    expect(await readdir(home)).toEqual(["model.safetensors"]);
  });

  it("keeps the names of files apart from addresses, and takes empty files", async () => {
    await downloadFile(hub, await remote("sub/folder/ü b.txt"), path.join(home, "a", "b"), signal);
    expect(await readFile(path.join(home, "a", "b"), "utf8")).toBe("within");
    expect(await downloadFile(hub, await remote("empty.txt"), path.join(home, "c"), signal)).toEqual({
      bytes: 0,
      sha256: sha256(""),
    });
  });

  it("goes on where it was cut, however often, as long as it gets on", async () => {
    const long = 1.3 * 2 ** 20;
    faults({ cut: 1_000 }, { cut: 5 }, { status: 502 }, { cut: long }, { cut: 7 }, { cut: 0 }, { cut: long });
    await downloadFile(hub, await remote("model.safetensors"), target(), signal);
    expect(await downloaded()).toBe(true);
    const asked = server.requests.filter((one) => one.at === "cdn").map(({ range }) => range);
    const starts = asked.map((range) => (range === null ? 0 : Number(/^bytes=(\d+)-$/.exec(range)![1])));
    expect(starts).toHaveLength(8);
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
    expect(starts.at(-1)).toBeGreaterThan(2 * 2 ** 20);
  });

  it("goes on where the connection stands still", async () => {
    faults({ stall: 2_000 }, { stall: 0 });
    const notes: string[] = [];
    await downloadFile(hub, await remote("model.safetensors"), target(), signal, (_bytes, note) => {
      if (note !== undefined) notes.push(note);
    });
    expect(await downloaded()).toBe(true);
    expect(notes).toHaveLength(2);
    expect(notes[0]).toMatch(/sent nothing for 1 s.*Going on in/);
  });

  it("waits for a hub that is slow but gets on", async () => {
    faults({ slow_ms: 60, piece: 2 ** 18 });
    await downloadFile(hub, await remote("model.safetensors"), target(), signal);
    expect(await downloaded()).toBe(true);
    expect(server.requests.filter((one) => one.at === "cdn")).toHaveLength(1);
  });

  it("leaves what came for a later call when it is called off, and goes on from there", async () => {
    const file = await remote("model.safetensors");
    faults({ slow_ms: 20, piece: 2 ** 17 });
    const abort = new AbortController();
    const reason = new Error("enough");
    const work = downloadFile(hub, file, target(), abort.signal, (done) => {
      if (done > 2 ** 20) abort.abort(reason);
    });
    await expect(work).rejects.toBe(reason);
    expect(await readdir(home)).toEqual(["model.safetensors.part"]);
    const seen: number[] = [];
    await downloadFile(hub, file, target(), signal, (done) => seen.push(done));
    expect(seen[0]).toBeGreaterThan(2 ** 20);
    expect(await downloaded()).toBe(true);
    expect(server.requests.at(-1)?.range).toMatch(/^bytes=1\d{6}-$/);
  });

  it("stops waiting when it is called off", async () => {
    const file = await remote("config.json");
    always({ status: 429, headers: { "retry-after": "1" } });
    const reason = new Error("enough");
    const abort = new AbortController();
    const work = downloadFile(hub, file, path.join(home, "c"), abort.signal, (_bytes, note) => {
      if (note !== undefined) abort.abort(reason);
    });
    await expect(work).rejects.toBe(reason);
  });

  it("begins anew where the hub does not give ranges, and gives up where that leads nowhere", async () => {
    faults({ cut: 2_000_000 }, { ignore_range: true });
    await downloadFile(hub, await remote("model.safetensors"), target(), signal);
    expect(await downloaded()).toBe(true);
    await rm(target());
    server.fault = ({ at }) => (at === "cdn" ? { ignore_range: true, cut: 2_000_000 } : null);
    server.requests.length = 0;
    await refused(
      downloadFile(hub, await remote("model.safetensors"), target(), signal),
      "unavailable",
      /broke off/,
    );
    expect(server.requests.filter((one) => one.at === "cdn").length).toBeLessThan(8);
  });

  it("does not bring again what is there and right, and replaces what is not", async () => {
    const file = await remote("model.safetensors");
    await writeFile(target(), weights);
    server.requests.length = 0;
    expect(await downloadFile(hub, file, target(), signal)).toMatchObject({ sha256: sha256(weights) });
    expect(server.requests).toEqual([]);
    for (const wrong of [
      weights.subarray(4),
      Buffer.concat([weights, weights]),
      Buffer.from(weights).fill(7),
    ]) {
      await writeFile(target(), wrong);
      await downloadFile(hub, file, target(), signal);
      expect(await downloaded()).toBe(true);
    }
  });

  it("does not go on with a part that nothing can prove right", async () => {
    const file = { ...(await remote("config.json")), git_sha1: null };
    await writeFile(path.join(home, "c.part"), '{"b"');
    await downloadFile(hub, file, path.join(home, "c"), signal);
    expect(await readFile(path.join(home, "c"), "utf8")).toBe('{"a": 1}');
    expect(server.requests.at(-1)?.range).toBeNull();
  });

  it.each<[string, string, Fault, HubFault, RegExp]>([
    ["another content, of a large file", "model.safetensors", { flipped: true }, "damaged", /another hash/],
    ["another content, of a small file", "config.json", { flipped: true }, "damaged", /another hash/],
    ["more bytes, and says so", "model.safetensors", { longer: 9 }, "bad_answer", /but sends 3145737/],
    ["fewer bytes, and says so", "model.safetensors", { longer: -9 }, "bad_answer", /but sends 3145719/],
    [
      "more bytes, and does not say so",
      "config.json",
      { longer: 9, chunked: true },
      "bad_answer",
      /sends more/,
    ],
    ["an encoding", "model.safetensors", { encoded: "gzip" }, "bad_answer", /encoded as "gzip"/],
  ])(
    "is refused where the hub sends %s, and nothing of it is kept",
    async (_name, name, fault, kind, words) => {
      const file = await remote(name);
      server.fault = ({ at, path: asked }) =>
        asked === null || (at === "hub" && name.endsWith(".safetensors")) ? null : fault;
      await refused(downloadFile(hub, file, target(), signal), kind, words);
      expect(await readdir(home)).toEqual([]);
    },
  );

  it("gives up where the hub sends fewer bytes, and does not say so", async () => {
    const file = await remote("config.json");
    always({ longer: -3, chunked: true });
    await refused(downloadFile(hub, file, target(), signal), "bad_answer", /416|ended|other bytes|sends/);
    expect(existsSync(target())).toBe(false);
  });

  it("is refused where other bytes come than those asked for", async () => {
    faults({ cut: 1_000 }, { shifted: 8 });
    const work = downloadFile(hub, await remote("model.safetensors"), target(), signal);
    await refused(work, "bad_answer", /other bytes of model\.safetensors/);
  });

  it("is refused where the hub redirects to a host that is not listed, before a byte is asked for", async () => {
    const file = await remote("model.safetensors");
    hub = { ...hub, hosts: ["*.example", "127.0.0.1"], token };
    await refused(downloadFile(hub, file, target(), signal), "redirected", new RegExp(`to ${server.cdn} `));
    expect(server.requests.every((one) => one.at === "hub")).toBe(true);
    for (const address of ["http://evil.example.org/x", "http://user@127.0.0.1/x", "file:///etc/passwd"]) {
      always({ redirect: address });
      await refused(downloadFile(hub, file, target(), signal), "redirected", /redirects to/);
    }
  });

  it("waits as long as the hub asks, tells so, and gives up when that is too long", async () => {
    const file = await remote("config.json");
    faults({ status: 429, headers: { "retry-after": "1" } });
    const notes: string[] = [];
    const began = performance.now();
    await downloadFile(hub, file, path.join(home, "c"), signal, (_bytes, note) => {
      if (note !== undefined) notes.push(note);
    });
    expect(performance.now() - began).toBeGreaterThan(990);
    expect(notes).toEqual([expect.stringMatching(/takes no more requests for now.*Going on in 1 s\.$/)]);
    for (const headers of [
      { "retry-after": "3600" },
      { "retry-after": new Date(Date.now() + 9e6).toUTCString() },
      { ratelimit: '"api";r=0;t=900' },
    ]) {
      always({ status: 429, headers: headers as Record<string, string> });
      server.requests.length = 0;
      await refused(downloadFile(hub, file, path.join(home, "d"), signal), "unavailable", /no more requests/);
      expect(server.requests).toHaveLength(1);
    }
    always({ status: 429, headers: { "retry-after": "0" } });
    await refused(downloadFile(hub, file, path.join(home, "d"), signal), "unavailable", /no more requests/);
  });

  it("says that a repository is gated, and what to do, with and without a token", async () => {
    const { files } = await listRepository(
      hub,
      { type: "model", repo: "tests/gated", revision: "main" },
      signal,
    );
    const file = { ...files[0]!, type: "model" as const, repo: "tests/gated", commit: commitOf(gated) };
    const to = path.join(home, "c");
    await refused(
      downloadFile(hub, file, to, signal),
      "gated",
      /Accept its terms.*give a token.*FACET_HUB_TOKEN/,
    );
    hub = { ...hub, token: "hf_0123other" };
    await refused(downloadFile(hub, file, to, signal), "gated", /account that FACET_HUB_TOKEN belongs to/);
    hub = { ...hub, token };
    await downloadFile(hub, file, to, signal);
    expect(existsSync(to)).toBe(true);
  });

  it("asks the hub again where an address that it gave is no longer valid", async () => {
    faults({ cut: 100 }, { status: 403 });
    await downloadFile(hub, await remote("model.safetensors"), target(), signal);
    expect(await downloaded()).toBe(true);
    expect(server.requests.filter((one) => one.at === "hub" && one.path !== null)).toHaveLength(3);
  });

  it("is not begun for more bytes than may be downloaded, or than the disk has room for", async () => {
    const file = await remote("model.safetensors");
    server.requests.length = 0;
    const small = { ...hub, limit_bytes: weights.length - 1 };
    await refused(downloadFile(small, file, target(), signal), "too_large", /FACET_DOWNLOAD_LIMIT_BYTES/);
    const vast = { ...hub, limit_bytes: Number.MAX_SAFE_INTEGER };
    await expect(downloadFile(vast, { ...file, size: 2 ** 52 }, target(), signal)).rejects.toThrow(
      StorageError,
    );
    await refused(downloadFile(hub, { ...file, path: "../x" }, target(), signal), "bad_name", /"\.\.\/x"/);
    expect(server.requests).toEqual([]);
  });

  it("says so where nobody answers, and does not ask a gone hub for ever", async () => {
    const file = await remote("config.json");
    await server.close();
    const work = downloadFile(hub, file, path.join(home, "c"), signal);
    await refused(work, "unavailable", /connection to 127\.0\.0\.1:\d+ broke off \(ECONNREFUSED\)/);
    server = await startHub([]);
  });
});

describe("a token", () => {
  it("is not sent over a connection without encryption from a hub with it", async () => {
    const asked: { url: string; authorization: string | null }[] = [];
    vi.stubGlobal("fetch", async (url: URL, { headers }: { headers: Record<string, string> }) => {
      asked.push({ url: url.href, authorization: headers.authorization ?? null });
      return new Response(null, { status: 302, headers: { location: "http://hub.example/x" } });
    });
    const secure = { ...hub, url: "https://hub.example", hosts: ["hub.example"], token };
    const list = listRepository(secure, { type: "model", repo: "a/b", revision: "main" }, signal);
    await refused(list, "redirected", /only https/);
    vi.unstubAllGlobals();
    expect(asked).toEqual([{ url: expect.stringMatching(/^https:/), authorization: `Bearer ${token}` }]);
  });
});

describe("the hosts that are followed", () => {
  /** Where a download that begins at the hub is led to, and with what token it comes there. */
  async function ledTo(location: string): Promise<string> {
    let seen = "";
    vi.stubGlobal("fetch", async (url: URL, { headers }: { headers: Record<string, string> }) => {
      if (url.host === "hub.example") return new Response(null, { status: 302, headers: { location } });
      seen = `${url.host} ${headers.authorization ?? "no token"}`;
      return new Response("words");
    });
    const secure = { ...hub, url: "https://hub.example", hosts: ["*.cdn.example", "one.example"], token };
    const file = { type: "model", repo: "a/b", commit: "main", path: "c", size: 5, sha256: null } as const;
    try {
      await downloadFile(secure, file, path.join(home, "c"), signal);
      return seen;
    } finally {
      vi.unstubAllGlobals();
    }
  }

  it.each(["x.cdn.example", "x.y.cdn.example", "one.example"])("are those of the list: %s", async (host) => {
    expect(await ledTo(`https://${host}/file`)).toBe(`${host} no token`);
  });

  it.each([
    "cdn.example",
    "evilcdn.example",
    "x.cdn.example.org",
    "x.cdn.example:8443",
    "two.one.example",
    "[::1]",
  ])("are no others: %s", (host) =>
    refused(ledTo(`https://${host}/file`), "redirected", /not among the hosts that are followed/),
  );
});

describe("a file read from afar", () => {
  it("gives any bytes, also where the hub gives the whole file instead", async () => {
    const file = await remote("model.safetensors");
    for (const fault of [null, { ignore_range: true } as const]) {
      server.fault = ({ at }) => (at === "cdn" ? fault : null);
      const source = remoteSource(hub, file, signal);
      for (const [offset, length] of [
        [0, 8],
        [8, 1_000],
        [0, 0],
        [2 ** 18 - 10, 20],
        [weights.length - 5, 5],
      ] as const) {
        expect(Buffer.from(await source.read(offset, length))).toEqual(
          weights.subarray(offset, offset + length),
        );
      }
    }
  });

  it("asks for its beginning once, and not for the rest", async () => {
    const file = await remote("model.safetensors");
    server.requests.length = 0;
    const source = remoteSource(hub, file, signal);
    await source.read(0, 8);
    await source.read(8, 50_000);
    expect(server.requests.map((one) => one.range)).toEqual(["bytes=0-262143", "bytes=0-262143"]);
  });

  it("is asked for again after a cut, and refused where its size is another", async () => {
    const file = await remote("model.safetensors");
    faults({ cut: 100 });
    expect(await remoteSource(hub, file, signal).read(0, 8)).toHaveLength(8);
    server.fault = ({ at }) => (at === "cdn" ? { longer: 4 } : null);
    await refused(remoteSource(hub, file, signal).read(0, 8), "bad_answer", /lists model\.safetensors/);
  });
});
