import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { downloadFile } from "../hub/download.ts";
import { HubError } from "../hub/hub-error.ts";
import type { HubOptions } from "../hub/hub-options.ts";
import { type HubFile, listRepository } from "../hub/repository.ts";
import { DatasetError } from "./dataset-error.ts";
import type { DatasetSource } from "./options.ts";
import type { SourceFiles } from "./source-files.ts";

/*
 * Datasets of a hub, by their Parquet files. Which file is of which configuration and split is told by its path, as the
 * hub tells it where a repository says nothing else: `data/train-00000-of-00002.parquet`, `<config>/train-….parquet`,
 * `<config>/<split>/0000.parquet` as on the branch refs/convert/parquet, `train.parquet`.
 */

export interface ParquetShard {
  config: string;
  split: string;
  file: HubFile;
}

const onlyConfig = "default";

/** Configuration and split of every Parquet file. */
export function parquetShards(files: readonly HubFile[]): ParquetShard[] {
  return files
    .filter(({ path: name }) => name.endsWith(".parquet"))
    .map((file) => {
      const folders = file.path.split("/");
      const name = folders.pop()!.slice(0, -".parquet".length);
      const numbered = /^(.+?)[-_.]\d+-of-\d+(?:-[0-9a-f]+)?$/.exec(name);
      const inSplitsFolder = /^(?:part[-_.])?\d+/.test(name) && folders.length > 0;
      const split = numbered?.[1] ?? (inSplitsFolder ? folders.pop()! : name);
      const config = folders.filter((folder) => folder !== "data").join("/");
      return { config: config === "" ? onlyConfig : config, split, file };
    });
}

/** The shards of one split in order; the configuration and split may be left open where there is no doubt. */
export function chooseShards(
  shards: readonly ParquetShard[],
  { repo, config, split, revision }: Extract<DatasetSource, { kind: "hub" }>,
): { config: string; split: string; files: HubFile[] } {
  if (shards.length === 0) {
    throw new DatasetError(
      `${repo} has no Parquet files at ${revision}, and others are not read from a hub. Its owner's files may have been converted: try the revision refs/convert/parquet, or download them and import the folder.`,
    );
  }
  const ofConfig = chosen(shards, "config", config, onlyConfig, repo);
  const ofSplit = chosen(ofConfig, "split", split, "train", repo);
  const files = ofSplit.map(({ file }) => file).sort((a, b) => (a.path < b.path ? -1 : 1));
  return { config: ofSplit[0]!.config, split: ofSplit[0]!.split, files };
}

function chosen(
  shards: readonly ParquetShard[],
  by: "config" | "split",
  wanted: string | null,
  usual: string,
  repo: string,
): ParquetShard[] {
  const names = [...new Set(shards.map((shard) => shard[by]))];
  const name = wanted ?? (names.length === 1 ? names[0]! : usual);
  const found = shards.filter((shard) => shard[by] === name);
  if (found.length > 0) return found;
  const what = by === "config" ? "configuration" : "split";
  const there = `There are: ${names.slice(0, 30).join(", ")}${names.length > 30 ? `, and ${names.length - 30} more` : ""}.`;
  throw new DatasetError(
    wanted === null
      ? `${repo} has several ${what}s and none named ${usual}; name one with ${by}. ${there}`
      : `${repo} has no ${what} ${JSON.stringify(wanted.slice(0, 100))}. ${there}`,
  );
}

export interface HubSource {
  hub: HubOptions;
  source: Extract<DatasetSource, { kind: "hub" }>;
  /** The dataset's; shards are downloaded to a folder beside it, one at a time, and removed once they were read. */
  folder: string;
  /** All of it is wanted, not only its first documents. */
  whole: boolean;
  signal: AbortSignal;
}

/** @throws HubError, DatasetError */
export async function hubShards({ hub, source, folder, whole, signal }: HubSource): Promise<SourceFiles> {
  const { repo, revision } = source;
  const { commit, files: all } = await listRepository(hub, { type: "dataset", repo, revision }, signal);
  const { config, split, files } = chooseShards(parquetShards(all), source);
  const totalBytes = files.reduce((sum, { size }) => sum + size, 0);
  if (whole) checkLimit(totalBytes);
  function checkLimit(bytes: number): void {
    if (bytes <= hub.limit_bytes) return;
    throw new HubError(
      "too_large",
      `${repo}, ${config}, ${split} takes ${bytes} bytes of download; ${hub.limit_bytes} is the limit (FACET_DOWNLOAD_LIMIT_BYTES). Raise it, or take fewer documents (limit_documents).`,
    );
  }
  const downloads = path.join(path.dirname(folder), `.${path.basename(folder)}.download`);
  return {
    origin: { kind: "hub", repo, config, split, revision, commit, files: files.length },
    name: repo.split("/").at(-1)!,
    totalBytes,
    wholeFiles: false,
    expectedBytes: 0,
    files: async function* (onDownloaded) {
      try {
        await mkdir(downloads, { recursive: true });
        let sum = 0;
        for (const [number, file] of files.entries()) {
          sum += file.size;
          checkLimit(sum);
          const shard = path.join(downloads, `${number}.parquet`);
          let told = 0;
          await downloadFile(hub, { type: "dataset", repo, commit, ...file }, shard, signal, (bytes) => {
            onDownloaded(bytes - told);
            told = bytes;
          });
          const shownAs = `${repo}/${file.path}`;
          yield { path: shard, shownAs, format: "parquet" as const, bytes: file.size, packed: true };
          await rm(shard, { force: true });
        }
      } finally {
        await rm(downloads, { recursive: true, force: true });
      }
    },
  };
}
