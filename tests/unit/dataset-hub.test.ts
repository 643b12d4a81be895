import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDataset } from "../../server/datasets/dataset.ts";
import { DatasetError } from "../../server/datasets/dataset-error.ts";
import { parquetShards } from "../../server/datasets/hub-shards.ts";
import { importDataset } from "../../server/datasets/import.ts";
import type { ImportOptionsInput } from "../../server/datasets/options.ts";
import { HubError } from "../../server/hub/hub-error.ts";
import { defaultPatience, type HubOptions } from "../../server/hub/hub-options.ts";
import { commitOf, type HubServer, startHub } from "../reference/hub-server.ts";

const shard = (...texts: string[]) =>
  Buffer.from(parquetWriteBuffer({ columnData: [{ name: "text", data: texts, type: "STRING" }] }));

const plain = {
  type: "dataset" as const,
  repo: "tests/plain",
  files: {
    "README.md": "words",
    "data/test-00000-of-00001.parquet": shard("never"),
    "data/train-00000-of-00003.parquet": shard("one", "two"),
    "data/train-00001-of-00003.parquet": shard("three"),
    "data/train-00002-of-00003.parquet": shard("four"),
  },
};
const several = {
  type: "dataset" as const,
  repo: "tests/several",
  files: {
    "en/train-00000-of-00001.parquet": shard("english"),
    "de/train-00000-of-00001.parquet": shard("deutsch"),
    "de/validation-00000-of-00001.parquet": shard("pruefung"),
  },
};
const other = { type: "dataset" as const, repo: "tests/other", files: { "train.jsonl": '{"text":"a"}' } };

let home: string;
let server: HubServer;
let hub: HubOptions;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-hub-dataset-"));
  server = await startHub([plain, several, other]);
  const patience = { ...defaultPatience, stall_ms: 2_000, backoff_ms: 4, failures: 3 };
  hub = { url: server.url, token: null, hosts: [server.cdn], limit_bytes: 2 ** 30, patience };
});
afterEach(async () => {
  await server.close();
  await rm(home, { recursive: true, force: true });
});

interface Given {
  repo: string;
  config?: string;
  split?: string;
  options?: ImportOptionsInput;
  onProgress?: Parameters<typeof importDataset>[0]["onProgress"];
}

const importing = ({ repo, config, split, options = {}, onProgress = () => undefined }: Given) =>
  importDataset({
    source: { kind: "hub", repo, config: config ?? null, split: split ?? null, revision: "main" },
    folder: path.join(home, "dataset"),
    options,
    hub,
    signal: new AbortController().signal,
    onProgress,
  });

async function texts(): Promise<string[]> {
  const dataset = await openDataset(path.join(home, "dataset"));
  const documents = await dataset.read(0, 100);
  await dataset.close();
  return documents.map(({ text }) => text);
}

describe("a dataset of a hub", { timeout: 60_000 }, () => {
  it("is read shard by shard, of which no more than one is on the disk", async () => {
    const seen = new Set<string>();
    const progress: { bytes: number; total_bytes: number }[] = [];
    const waiting: Promise<void>[] = [];
    const manifest = await importing({
      repo: plain.repo,
      onProgress: (one) => {
        progress.push(one);
        waiting.push(
          readdir(path.join(home, ".dataset.download")).then(
            (names) => {
              seen.add(names.filter((name) => name.endsWith(".parquet")).join("+"));
            },
            () => undefined,
          ),
        );
      },
    });
    await Promise.all(waiting);
    expect(await texts()).toEqual(["one", "two", "three", "four"]);
    expect(manifest.source).toEqual({
      kind: "hub",
      repo: plain.repo,
      config: "default",
      split: "train",
      revision: "main",
      commit: commitOf(plain),
      files: 3,
    });
    expect(manifest.name).toBe("plain");
    expect([...seen].filter((names) => names.includes("+"))).toEqual([]);
    expect(progress.at(-1)!.bytes).toBe(progress.at(-1)!.total_bytes);
    expect(await readdir(home)).toEqual(["dataset"]);
  });

  it("is not downloaded further than a limit of documents needs", async () => {
    await importing({ repo: plain.repo, options: { limit_documents: 2 } });
    expect(await texts()).toEqual(["one", "two"]);
    const asked = server.requests.filter(({ path: file }) => file?.endsWith("-00002-of-00003.parquet"));
    expect(asked).toEqual([]);
    expect(await readdir(home)).toEqual(["dataset"]);
  });

  it("needs a configuration and a split named where there are several, and says which", async () => {
    const open = importing({ repo: several.repo });
    await expect(open).rejects.toThrow(/several configurations and none named default.*de, en/);
    await expect(open).rejects.toThrow(DatasetError);
    await expect(importing({ repo: several.repo, config: "fr" })).rejects.toThrow(/no configuration "fr"/);
    await expect(importing({ repo: several.repo, config: "de", split: "test" })).rejects.toThrow(
      /no split "test"\. There are: train, validation/,
    );
    await importing({ repo: several.repo, config: "de", split: "validation" });
    expect(await texts()).toEqual(["pruefung"]);
  });

  it("without Parquet is told of the hub's own conversion", async () => {
    await expect(importing({ repo: other.repo })).rejects.toThrow(
      /no Parquet files at main.*refs\/convert\/parquet/,
    );
  });

  it("leaves nothing when the hub fails or it is beyond the limit", async () => {
    server.fault = ({ path: file }) => (file?.includes("-00001-of-00003") ? { status: 404 } : null);
    await expect(importing({ repo: plain.repo })).rejects.toThrow(HubError);
    expect(await readdir(home)).toEqual([]);
    server.fault = () => null;
    hub = { ...hub, limit_bytes: 10 };
    await expect(importing({ repo: plain.repo })).rejects.toThrow(
      /10 is the limit \(FACET_DOWNLOAD_LIMIT_BYTES\)/,
    );
    expect(await readdir(home)).toEqual([]);
  });
});

describe("configuration and split of a Parquet file", () => {
  it.each([
    ["data/train-00000-of-00001.parquet", "default", "train"],
    ["data/train-00000-of-00001-0a1b2c3d.parquet", "default", "train"],
    ["train-00000-of-00001.parquet", "default", "train"],
    ["en/train-00000-of-00001.parquet", "en", "train"],
    ["data/en/validation-00000-of-00001.parquet", "en", "validation"],
    ["en/test/0000.parquet", "en", "test"],
    ["default/partial-train/0003.parquet", "default", "partial-train"],
    ["test.parquet", "default", "test"],
    ["sample/10BT/000_00000.parquet", "sample", "10BT"],
  ])("are told by its path %s", (file, config, split) => {
    const [found] = parquetShards([{ path: file, size: 1, sha256: null, git_sha1: null }]);
    expect(found).toMatchObject({ config, split });
  });
});
