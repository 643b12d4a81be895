import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDataset } from "../../server/datasets/dataset.ts";
import { DatasetError } from "../../server/datasets/dataset-error.ts";
import { hubShards, parquetShards } from "../../server/datasets/hub-shards.ts";
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
/** A card with everything that a card may say of its files. */
const carded = {
  type: "dataset" as const,
  repo: "tests/carded",
  files: {
    "README.md": [
      "---",
      "license: cc0-1.0",
      "dataset_info: [{features: &f [{name: text, dtype: string}]}, {features: *f}]",
      "configs:",
      "- config_name: sample",
      "  default: true",
      "  data_files:",
      "  - split: train",
      "    path: [sample/b/*, 'sample/a/**/train-*.parquet']",
      "  - split: test",
      "    path: sample/b/second.parquet",
      "- config_name: all",
      "  data_files: ['**/*.parquet']",
      "- config_name: inner",
      "  data_dir: ./inner/",
      "- config_name: lines",
      "  data_files: lines.jsonl",
      "- config_name: gone",
      "  data_files: gone-*.parquet",
      "- config_name: outside",
      "  data_files: ../carded/sample/b/*",
      "- config_name: web",
      "  data_files: https://example.com/a.parquet",
      "---",
      "configs: words",
    ].join("\n"),
    ".hidden/train.parquet": shard("hidden"),
    "inner/test-00000-of-00001.parquet": shard("inner test"),
    "inner/train-00000-of-00001.parquet": shard("inner train"),
    "lines.jsonl": '{"text":"a"}',
    "sample/a/deep/er/train-1.parquet": shard("deep"),
    "sample/a/train-0.parquet": shard("shallow"),
    "sample/a/untrain-0.parquet": shard("not a match"),
    "sample/b/first.parquet": shard("first"),
    "sample/b/second.parquet": shard("second"),
  },
};
const hostile = (name: string, card: string) => ({
  type: "dataset" as const,
  repo: `tests/hostile-${name}`,
  files: { "README.md": card, "train.parquet": shard("never") },
});
const front = (yaml: string) => `---\n${yaml}\n---\n`;
/** Aliases of aliases: 10^9 words where they are taken for what they stand for. */
const bomb = ["a: &a0 [x, x, x, x, x, x, x, x, x, x]"]
  .concat(
    Array.from({ length: 8 }, (_, n) => `b${n}: &a${n + 1} [${Array(10).fill(`*a${n}`).join(", ")}]`),
    "configs: *a8",
  )
  .join("\n");
const stars = "a*".repeat(500);
const unread = [
  hostile("bomb", front(bomb)),
  hostile("broken", front("configs: [{")),
  hostile("deep", front(`configs: ${"[".repeat(100_000)}`)),
  hostile("wrong", front("configs:\n- config_name: [a]\n  data_files: {train: a}")),
  hostile("large", `---\n${"# words of no end\n".repeat(150_000)}---\n`),
  hostile("stars", front(`configs:\n- config_name: a\n  data_files: "${stars}b"`)),
];
const other = { type: "dataset" as const, repo: "tests/other", files: { "train.jsonl": '{"text":"a"}' } };

let home: string;
let server: HubServer;
let hub: HubOptions;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-hub-dataset-"));
  server = await startHub([plain, several, other, carded, ...unread]);
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

/** What an import would download, in its order. */
const shardsOf = (repo: string, config?: string, split?: string) =>
  hubShards({
    hub,
    source: { kind: "hub", repo, config: config ?? null, split: split ?? null, revision: "main" },
    folder: path.join(home, "dataset"),
    whole: true,
    signal: new AbortController().signal,
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

  it("is of the files that its card names for a configuration and a split", async () => {
    const read = async (config?: string, split?: string) => {
      const { origin, files } = await shardsOf(carded.repo, config, split);
      const shown: string[] = [];
      for await (const { shownAs } of files(() => undefined))
        shown.push(shownAs.slice(carded.repo.length + 1));
      return [origin.kind === "hub" && `${origin.config} ${origin.split}`, shown];
    };
    // In the order of the patterns, and then of the paths.
    expect(await read()).toEqual([
      "sample train",
      ["sample/b/first.parquet", "sample/b/second.parquet"].concat([
        "sample/a/deep/er/train-1.parquet",
        "sample/a/train-0.parquet",
      ]),
    ]);
    expect(await read("sample", "test")).toEqual(["sample test", ["sample/b/second.parquet"]]);
    expect(await read("inner")).toEqual(["inner train", ["inner/train-00000-of-00001.parquet"]]);
    expect(await read("inner", "test")).toEqual(["inner test", ["inner/test-00000-of-00001.parquet"]]);
    const [split, all] = await read("all");
    expect(split).toBe("all train");
    expect(all).toHaveLength(7);
    expect(all).not.toContain(".hidden/train.parquet");
    for (const [config, reason] of [
      ["lines", /no Parquet files at main for lines, train, but "lines\.jsonl"/],
      ["gone", /names for train the files "gone-\*\.parquet", but the repository has none/],
      ["outside", /names the files "\.\.\/carded\/sample\/b\/\*", which are none of the repository's own/],
      ["web", /"https:\/\/example\.com\/a\.parquet", which are none of the repository's own/],
      ["other", /no configuration "other"\. There are: sample, all, inner/],
    ] as const) {
      const refused = shardsOf(carded.repo, config);
      await expect(refused).rejects.toThrow(reason);
      await expect(refused).rejects.toThrow(DatasetError);
    }
    await expect(shardsOf(carded.repo, undefined, "dev")).rejects.toThrow(
      /no split "dev"\. There are: train, test/,
    );
  });

  it("is refused soon where its card is damaged or made to cost time or memory", async () => {
    const reasons = [
      /not YAML: Excessive alias count/,
      /not YAML/,
      /not YAML/,
      /does not say as a dataset's card does.*config/,
      /in more than 2097152 bytes/,
      /more than 32 wildcards/,
    ];
    for (const [index, { repo }] of unread.entries()) {
      const refused = shardsOf(repo);
      await expect(refused).rejects.toThrow(reasons[index]);
      await expect(refused).rejects.toThrow(DatasetError);
    }
    expect(await readdir(home)).toEqual([]);
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
