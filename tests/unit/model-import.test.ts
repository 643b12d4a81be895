import { createHash } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ConflictError } from "../../server/errors.ts";
import { HubError } from "../../server/hub/hub-error.ts";
import type { HubOptions } from "../../server/hub/hub-options.ts";
import { importModel, type ModelImportProgress, ModelRefusedError } from "../../server/models/import.ts";
import { readModelManifest } from "../../server/models/manifest.ts";
import { ModelFolderError, openModelFolder } from "../../server/models/model-folder.ts";
import { previewModel } from "../../server/models/preview.ts";
import { writeModelFolder } from "../gpu/model-folders.ts";
import { commitOf, type HubServer, startHub } from "../reference/hub-server.ts";
import { variants } from "../reference/lm/variants.ts";

const weights = "model.safetensors";
const index = "model.safetensors.index.json";
const token = "hf_0123456789secret";
const tokenizer = {
  "tokenizer.json": '{"version": "1.0"}',
  "tokenizer_config.json": "{}",
  "merges.txt": "a b\n",
};

type Files = Record<string, Buffer | string>;

// Servers and processes take longer on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

let server: HubServer;
let hub: HubOptions;
let home: string;
let single: Files;
let sharded: Files;
let signal: AbortSignal;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-import-"));
  const [one] = variants();
  const extra = {
    "README.md": "words",
    "pytorch_model.bin": "pickle",
    "onnx/model.onnx": "no",
    ...tokenizer,
  };
  single = { ...(await filesOf(await writeModelFolder(path.join(home, "single"), one!))), ...extra };
  sharded = {
    ...(await filesOf(
      await writeModelFolder(path.join(home, "sharded"), one!, { dtype: "BF16", shards: 3 }),
    )),
    ...tokenizer,
  };
  const repository = (name: string, files: Files) => ({
    type: "model" as const,
    repo: `tests/${name}`,
    files,
  });
  server = await startHub([
    repository("single", single),
    repository("sharded", sharded),
    { ...repository("gated", single), gated: true, token },
    repository("pickled", { "config.json": single["config.json"]!, "pytorch_model.bin": "pickle" }),
    repository("mamba", { ...single, "config.json": '{"model_type": "mamba"}' }),
    repository("other", { ...single, "config.json": wider(single["config.json"]!) }),
    repository("empty", { "README.md": "" }),
  ]);
  signal = new AbortController().signal;
  hub = {
    url: server.url,
    token: null,
    hosts: [server.cdn],
    limit_bytes: 2 ** 30,
    patience: { stall_ms: 2_000, backoff_ms: 4, failures: 3, longest_wait_ms: 1_000, waits: 3 },
  };
});
afterEach(async () => {
  await server.close();
  await rm(home, { recursive: true, force: true });
});

async function filesOf(folder: string): Promise<Files> {
  const names = await readdir(folder);
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(path.join(folder, name))] as const)),
  );
}

/** A configuration that the weights do not fit. */
const wider = (config: Buffer | string) => {
  const parsed = JSON.parse(String(config)) as { n_layer: number };
  return JSON.stringify({ ...parsed, n_layer: parsed.n_layer + 1 });
};

const out = () => path.join(home, "out");
const repo = (name: string) => ({ kind: "hub" as const, repo: `tests/${name}`, revision: "main" });
const folder = (name: string) => ({ kind: "folder" as const, path: path.join(home, name) });
const bring = (source: ReturnType<typeof repo> | ReturnType<typeof folder>, more: object = {}) =>
  importModel({ source, folder: out(), hub, signal, ...more });
const sha256 = (content: Buffer | string) => createHash("sha256").update(content).digest("hex");
/** Files that were asked for in full or in part. */
const asked = () => new Set(server.requests.flatMap(({ path: file }) => (file === null ? [] : [file])));

/** The folder holds these files as they are, and what it says of them is true. */
async function holds(files: Files, names: readonly string[]): Promise<void> {
  const made = await filesOf(out());
  expect(Object.keys(made).sort()).toEqual([...names, "facet-model.json"].sort());
  for (const name of names) expect(Buffer.from(made[name]!).equals(Buffer.from(files[name]!))).toBe(true);
  const manifest = await readModelManifest(out());
  expect(manifest?.files.map((file) => file.name).sort()).toEqual([...names].sort());
  for (const { name, bytes, sha256: hash } of manifest!.files) {
    expect([bytes, hash]).toEqual([Buffer.from(files[name]!).length, sha256(files[name]!)]);
  }
  const lines = [...manifest!.files].sort((a, b) => (a.name < b.name ? -1 : 1));
  expect(manifest?.sha256).toBe(sha256(lines.map((file) => `${file.sha256}  ${file.name}\n`).join("")));
  await (await openModelFolder(out())).close();
}

/** Nothing that could be taken for a model is there. */
async function nothingShown(): Promise<void> {
  expect(existsSync(out())).toBe(false);
  expect(existsSync(path.join(`${out()}.partial`, "facet-model.json"))).toBe(false);
}

describe("importing a model", () => {
  it("takes from the hub what is needed, and nothing else", async () => {
    const steps: ModelImportProgress[] = [];
    const manifest = await bring(repo("single"), {
      onProgress: (step: ModelImportProgress) => steps.push(step),
    });
    await holds(single, ["config.json", weights, ...Object.keys(tokenizer)]);
    expect(manifest).toMatchObject({
      format_version: 1,
      source: {
        kind: "hub",
        repo: "tests/single",
        revision: "main",
        commit: commitOf({ repo: "tests/single" }),
      },
      model_type: "gpt2",
    });
    expect(asked()).toEqual(new Set(["config.json", weights, ...Object.keys(tokenizer)]));
    expect(existsSync(`${out()}.partial`)).toBe(false);
    const total = manifest.bytes;
    expect(steps.at(-1)).toMatchObject({ phase: "checking", bytes: total, total_bytes: total });
    const copying = steps.filter(({ phase }) => phase === "copying").map(({ bytes }) => bytes);
    expect(copying).toEqual([...copying].sort((a, b) => a - b));
    expect(copying.at(-1)).toBe(total);
  });

  it("takes every shard, and from a folder the same", async () => {
    const names = [...Object.keys(sharded)];
    const fromHub = await bring(repo("sharded"));
    await holds(sharded, names);
    await rm(out(), { recursive: true });
    for (const [name, content] of Object.entries(tokenizer))
      await writeFile(path.join(home, "sharded", name), content);
    const copied = await bring(folder("sharded"));
    await holds(sharded, names);
    expect(copied.source).toEqual({ kind: "folder", name: "sharded" });
    expect(copied.sha256).toBe(fromHub.sha256);
  });

  it("follows the links of Hugging Face's cache, and keeps files instead", async () => {
    const snapshot = path.join(home, "snapshot");
    await mkdir(snapshot);
    for (const name of ["config.json", weights])
      await symlink(path.join("..", "single", name), path.join(snapshot, name));
    await bring(folder("snapshot"));
    await holds(single, ["config.json", weights]);
  });

  it("works into an empty folder, and never writes over one that is not", async () => {
    await mkdir(out());
    await bring(folder("single"));
    for (const source of [folder("single"), repo("single")]) {
      await expect(bring(source)).rejects.toThrow(ConflictError);
    }
    expect(await readdir(home)).toEqual(["out", "sharded", "single"]);
  });

  it.each<[string, RegExp]>([
    ["mamba", /"mamba" cannot be run/],
    ["pickled", /pytorch_model\.bin, a pickle, .*refs\/pr.*save_pretrained/],
    ["other", /not in its files: there is no tensor "transformer\.h\.\d/],
    ["empty", /has no config\.json/],
  ])("refuses what cannot be run before a weight is downloaded: %s", async (name, words) => {
    await expect(bring(repo(name))).rejects.toThrow(ModelRefusedError);
    await expect(bring(repo(name))).rejects.toThrow(words);
    const whole = server.requests.filter(
      (one) => one.path === weights && !/^bytes=0-\d+$/.test(one.range ?? ""),
    );
    expect(whole).toEqual([]);
    expect(await readdir(home)).toEqual(["sharded", "single"]);
  });

  it("refuses more than may be downloaded, all files together", async () => {
    hub = { ...hub, limit_bytes: Buffer.from(single[weights]!).length + 10 };
    await expect(bring(repo("single"))).rejects.toThrow(/FACET_DOWNLOAD_LIMIT_BYTES/);
    expect(await readdir(home)).toEqual(["sharded", "single"]);
    await bring(folder("single"));
  });

  it("says of a gated model what to do, and takes it with a token that is kept nowhere", async () => {
    await expect(bring(repo("gated"))).rejects.toThrow(/gated.*FACET_HUB_TOKEN/);
    await nothingShown();
    hub = { ...hub, token };
    await bring(repo("gated"));
    for (const content of Object.values(await filesOf(out()))) expect(content.includes(token)).toBe(false);
  });
});

describe("an import that does not get through", () => {
  it("goes on with what it has when it is asked for again, and takes nothing twice", async () => {
    const half = Buffer.from(sharded["model-00002-of-00003.safetensors"]!).length >> 1;
    // Headers are read from the beginning on, which is the whole of such small shards.
    const small = (text: string | null) => text !== null && /^bytes=0-\d+$/.test(text);
    server.fault = ({ at, path: file, range }) =>
      at === "cdn" && file?.includes("00002") && !small(range)
        ? range === null
          ? { cut: half }
          : { status: 500 }
        : null;
    await expect(bring(repo("sharded"))).rejects.toThrow(/failed \(500\)/);
    await nothingShown();
    server.fault = () => null;
    server.requests.length = 0;
    await bring(repo("sharded"));
    await holds(sharded, Object.keys(sharded));
    const again = server.requests.filter(({ at, range }) => at === "cdn" && !small(range));
    expect(again.map((one) => [one.path, one.range])).toEqual([
      ["model-00002-of-00003.safetensors", expect.stringMatching(/^bytes=\d+-$/)],
      ["model-00003-of-00003.safetensors", null],
    ]);
  });

  it("begins anew where what is left is of another model", async () => {
    const abort = new AbortController();
    const work = bring(repo("single"), {
      signal: abort.signal,
      onProgress: ({ file }: ModelImportProgress) => {
        if (file === weights) abort.abort(new Error("enough"));
      },
    });
    await expect(work).rejects.toThrow("enough");
    await nothingShown();
    expect(await readdir(`${out()}.partial`)).toContain("tokenizer.json");
    await writeFile(path.join(`${out()}.partial`, "leftover.txt"), "x");
    const seen: string[][] = [];
    const onProgress = ({ phase }: ModelImportProgress) => {
      if (phase === "copying" && seen.length === 0) seen.push(readdirSync(`${out()}.partial`));
    };
    await bring(repo("sharded"), { onProgress });
    expect(seen).toEqual([["config.json.part", "import-lock.json", "import-source.json"]]);
    await holds(sharded, Object.keys(sharded));
  });

  it("goes on with what the same commit has left under another name of it", async () => {
    const abort = new AbortController();
    const onProgress = ({ file }: ModelImportProgress) => {
      if (file === weights) abort.abort(new Error("enough"));
    };
    await expect(bring(repo("single"), { signal: abort.signal, onProgress })).rejects.toThrow("enough");
    server.requests.length = 0;
    await bring({ ...repo("single"), revision: commitOf({ repo: "tests/single" }) });
    expect([...asked()].sort()).toEqual(["config.json", weights].sort());
  });

  it("leaves nothing of a folder that was being copied", async () => {
    const abort = new AbortController();
    const work = bring(folder("single"), {
      signal: abort.signal,
      onProgress: () => abort.abort(new Error("enough")),
    });
    await expect(work).rejects.toThrow("enough");
    expect(await readdir(home)).toEqual(["sharded", "single"]);
  });

  it.each([
    ["wrong bytes", { flipped: true } as const, "damaged"],
    ["more than it lists", { longer: 8 }, "bad_answer"],
    ["less than it lists", { longer: -8 }, "bad_answer"],
    ["another host's address", { redirect: "http://localhost:9/" }, "redirected"],
  ])("shows no model where the hub sends %s", async (_name, fault, kind) => {
    server.fault = ({ at, path: file, range }) =>
      at === "cdn" && file === weights && range === null ? fault : null;
    const error = await bring(repo("single")).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(HubError);
    expect((error as HubError).fault).toBe(kind);
    await nothingShown();
    server.fault = () => null;
    await bring(repo("single"));
    await holds(single, ["config.json", weights, ...Object.keys(tokenizer)]);
  });

  it("shows no model where the weights are not those of the headers that were read before", async () => {
    const other = Buffer.from(single[weights]!);
    // One tensor has another name, of the same length, at second sight.
    other.write("X", other.indexOf("wte.weight"));
    server.listed = (file, entry) =>
      file === weights ? { ...entry, lfs: { ...entry.lfs!, oid: sha256(other) } } : entry;
    const content = single[weights]!;
    server.fault = ({ at, path: file, range }) => {
      if (at === "cdn" && file === weights && range === null) single[weights] = other;
      return null;
    };
    await expect(bring(repo("single"))).rejects.toThrow(ModelFolderError);
    single[weights] = content;
    await nothingShown();
  });

  it("is not done by two at once into one folder", async () => {
    server.fault = ({ at, range }) =>
      at === "cdn" && range === null ? { slow_ms: 200, piece: 8_000 } : null;
    const first = bring(repo("single"));
    await expect
      .poll(() => existsSync(path.join(`${out()}.partial`, `${weights}.part`)), { timeout: 5_000 })
      .toBe(true);
    await expect(bring(repo("single"))).rejects.toThrow(/Another import is at work/);
    await first;
    await holds(single, ["config.json", weights, ...Object.keys(tokenizer)]);
  });
});

describe("a preview", () => {
  it("says what a model takes, the same from a folder and from the hub, where no weight is downloaded", async () => {
    for (const source of [folder("single"), repo("single")]) {
      const preview = await previewModel(source, hub, signal);
      const manifestFiles = source.kind === "hub" ? 5 : 2;
      expect(preview).toMatchObject({
        model_type: "gpt2",
        supported: true,
        reason: null,
        gated: false,
        tokenizer: source.kind === "hub",
        sizes: { layers: 2, d_model: 18, context: 24, vocabulary: 37 },
      });
      expect(preview.files).toHaveLength(manifestFiles);
      expect(preview.download_bytes).toBe(preview.files.reduce((sum, { bytes }) => sum + bytes, 0));
      // Every number of the file is a parameter of this model, which ties its head.
      expect(preview.stored).toEqual({ F32: preview.sizes!.parameters });
      const { parameters, memory } = preview.sizes!;
      expect(memory).toEqual({ f32: 4 * parameters, f16: 2 * parameters, int8: parameters });
    }
    expect(await previewModel(repo("sharded"), hub, signal)).toMatchObject({
      supported: true,
      stored: { BF16: expect.any(Number) },
    });
  });

  it("says why a model cannot be imported, as far as it can be described", async () => {
    expect(await previewModel(repo("mamba"), hub, signal)).toMatchObject({
      model_type: "mamba",
      supported: false,
      sizes: null,
      reason: expect.stringMatching(/"mamba" cannot be run/),
    });
    expect(await previewModel(repo("pickled"), hub, signal)).toMatchObject({
      model_type: "gpt2",
      supported: false,
      sizes: { layers: 2 },
      reason: expect.stringMatching(/pickle/),
    });
    expect(await previewModel(repo("gated"), hub, signal)).toMatchObject({
      gated: true,
      supported: false,
      reason: expect.stringMatching(/Accept its terms/),
    });
  });

  it("says so of weights that are cut off, quantised, a pointer, or lack a shard", async () => {
    const reason = async () => (await previewModel(folder("single"), hub, signal)).reason;
    const file = path.join(home, "single", weights);
    const whole = Buffer.from(single[weights]!);
    await writeFile(file, whole.subarray(0, whole.length - 4));
    expect(await reason()).toMatch(/cut off/);
    await writeFile(file, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n");
    expect(await reason()).toMatch(/git lfs pull/);
    await writeFile(file, String(whole.toString("latin1")).replaceAll('"F32"', '"I32"'), "latin1");
    expect(await reason()).toMatch(/is I32; weights are F32/);
    await rm(file);
    expect(await reason()).toMatch(/holds no weights/);
    const map = {
      weight_map: {
        a: "../../etc/passwd",
        b: "b.safetensors",
        c: 1,
        d: "config.json",
        e: ".hidden.safetensors",
      },
    };
    await writeFile(path.join(home, "single", index), JSON.stringify(map));
    await writeFile(path.join(home, "single", ".hidden.safetensors"), "");
    expect(await reason()).toMatch(/lacks 5 of the 5 files/);
  });

  it("needs a folder or a repository that is there", async () => {
    await expect(previewModel(folder("none"), hub, signal)).rejects.toThrow(ModelFolderError);
    await expect(previewModel(repo("none"), hub, signal)).rejects.toThrow(/Check the name/);
  });
});
