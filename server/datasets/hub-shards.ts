import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { downloadFile } from "../hub/download.ts";
import { HubError } from "../hub/hub-error.ts";
import type { HubOptions } from "../hub/hub-options.ts";
import { shown } from "../hub/names.ts";
import { remoteSource } from "../hub/remote-source.ts";
import { type HubFile, listRepository } from "../hub/repository.ts";
import { DatasetError } from "./dataset-error.ts";
import { type CardConfig, cardConfigs } from "./hub-card.ts";
import { filesOf } from "./hub-globs.ts";
import type { DatasetSource } from "./options.ts";
import type { SourceFiles } from "./source-files.ts";

/*
 * Datasets of a hub, by their Parquet files. Which file is of which configuration and split is said by the repository's
 * card, or else told by its path, as the hub tells it: `data/train-00000-of-00002.parquet`, `<config>/train-….parquet`,
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

type Named = Extract<DatasetSource, { kind: "hub" }>;

/** The Parquet files of one split, in order. */
export interface ChosenShards {
  config: string;
  split: string;
  files: HubFile[];
}

/**
 * The shards of one split; the configuration and split may be left open where there is no doubt.
 * @param files Sorted by path.
 * @param configs What the repository's card says; null where it says nothing, and the files' paths tell.
 * @throws DatasetError
 */
export function chooseShards(
  files: readonly HubFile[],
  configs: readonly CardConfig[] | null,
  source: Named,
): ChosenShards {
  return configs === null ? chosenByPath(files, source) : chosenByCard(files, configs, source);
}

function chosenByPath(files: readonly HubFile[], source: Named): ChosenShards {
  const shards = parquetShards(files);
  if (shards.length === 0) throw noParquet(source, "");
  const config = chosen(namesOf(shards.map((shard) => shard.config)), "config", source, onlyConfig);
  const ofConfig = shards.filter((shard) => shard.config === config);
  return { config, ...splitByPath(ofConfig, source) };
}

function splitByPath(shards: readonly ParquetShard[], source: Named): Omit<ChosenShards, "config"> {
  const split = chosen(namesOf(shards.map((shard) => shard.split)), "split", source, "train");
  return { split, files: shards.filter((shard) => shard.split === split).map(({ file }) => file) };
}

function chosenByCard(
  files: readonly HubFile[],
  configs: readonly CardConfig[],
  source: Named,
): ChosenShards {
  const usual = configs.find((config) => config.usual)?.name ?? onlyConfig;
  const name = chosen(namesOf(configs.map((config) => config.name)), "config", source, usual);
  const { folder, splits } = configs.find((config) => config.name === name)!;
  const where = `README.md of ${source.repo}, configuration ${shown(name)},`;
  const within = folder === "" ? "" : `${folder}/`;
  if (splits === null) {
    const below = files.filter(({ path: file }) => file.startsWith(within));
    const shards = parquetShards(below.map((file) => ({ ...file, path: file.path.slice(within.length) })));
    if (shards.length === 0) throw noParquet(source, ` in ${shown(within)}`);
    const { split, files: found } = splitByPath(shards, source);
    return { config: name, split, files: found.map((file) => ({ ...file, path: within + file.path })) };
  }
  const split = chosen(namesOf(splits.map((one) => one.split)), "split", source, "train");
  const patterns = splits.filter((one) => one.split === split).flatMap((one) => one.patterns);
  const found = filesOf(
    files,
    patterns.map((pattern) => within + pattern.replace(/^\.\//, "")),
    where,
  );
  const parquet = found.filter(({ path: file }) => file.endsWith(".parquet"));
  if (parquet.length > 0) return { config: name, split, files: parquet };
  const [other] = found;
  const some = patterns.slice(0, 3).map(shown).join(", ");
  if (other !== undefined) throw noParquet(source, ` for ${name}, ${split}, but ${shown(other.path)}`);
  throw new DatasetError(
    `${where} names for ${split} the files ${some}, but the repository has none of them at ${source.revision}. Name another revision.`,
  );
}

function noParquet({ repo, revision }: Named, where: string): DatasetError {
  return new DatasetError(
    `${repo} has no Parquet files at ${revision}${where}, and others are not read from a hub. Its owner's files may have been converted: try the revision refs/convert/parquet, or download them and import the folder.`,
  );
}

function namesOf(names: readonly string[]): string[] {
  return [...new Set(names)];
}

/** The name that is wanted, else the only one, else the usual one. */
function chosen(names: readonly string[], by: "config" | "split", source: Named, usual: string): string {
  const { repo, [by]: wanted } = source;
  const name = wanted ?? (names.length === 1 ? names[0]! : usual);
  if (names.includes(name)) return name;
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
  const card = all.find(({ path: name }) => name === "README.md");
  const configs =
    card === undefined
      ? null
      : await cardConfigs(
          remoteSource(hub, { type: "dataset", repo, commit, ...card }, signal),
          `README.md of ${repo}`,
        );
  const { config, split, files } = chooseShards(all, configs, source);
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
