import { parse } from "yaml";
import { z } from "zod";
import type { ByteSource } from "../../gpu/data/safetensors.ts";
import { parseWithFaults } from "../faults.ts";
import { DatasetError } from "./dataset-error.ts";

/*
 * What a dataset's README.md says of its configurations, in the YAML in front of the text:
 * https://huggingface.co/docs/hub/datasets-manual-configuration.
 */

/** A configuration as its card describes it. */
export interface CardConfig {
  name: string;
  /** It is the one to take where none is named. */
  usual: boolean;
  /** Folder that its files lie in, "" for the repository's own. */
  folder: string;
  /** Its splits with patterns of their files below the folder; null where the files' own paths tell. */
  splits: { split: string; patterns: string[] }[] | null;
}

/** A card with two thousand configurations, of the most that are published, has half a megabyte. */
const maxBytes = 2 * 2 ** 20;
const maxAliases = 1_000;

const text = z.string().min(1).max(1_024);
const patterns = z.union([text.transform((one) => [one]), z.array(text).max(100_000)]);
const dataFiles = z.union([
  patterns.transform((all) => [{ split: "train", patterns: all }]),
  z
    .array(z.looseObject({ split: text, path: patterns }))
    .max(10_000)
    .transform((splits) => splits.map(({ split, path }) => ({ split, patterns: path }))),
]);
const card = z.looseObject({
  configs: z
    .array(
      z.looseObject({
        config_name: text,
        default: z.boolean().nullish(),
        data_dir: text.nullish(),
        data_files: dataFiles.nullish(),
      }),
    )
    .max(20_000)
    .nullish(),
});

/**
 * The configurations of a README.md; null where it names none. Nothing in it is trusted.
 * @param where What messages call it.
 * @throws DatasetError
 */
export async function cardConfigs(source: ByteSource, where: string): Promise<CardConfig[] | null> {
  const front = frontMatter(await source.read(0, Math.min(source.size, maxBytes)), source.size, where);
  if (front === null) return null;
  const { data, faults } = parseWithFaults(card, parsed(front, where) ?? {}, "");
  if (data === null) {
    const words = faults.slice(0, 4).map(({ path, message }) => `${path || "its start"}: ${message}`);
    throw new DatasetError(
      `${where} does not say as a dataset's card does what its files are. ${words.join(" ")} ${advice}`,
    );
  }
  if (!data.configs || data.configs.length === 0) return null;
  return data.configs.map(({ config_name, default: usual, data_dir, data_files }) => ({
    name: config_name,
    usual: usual === true,
    folder: (data_dir ?? "").replace(/^\.?\/+|\/+$/g, "").replace(/^\.$/, ""),
    splits: data_files ?? null,
  }));
}

const advice = "Name another revision, or download the files and import their folder.";

/** What stands between a first line of three dashes and the next such line; null where there is none. */
function frontMatter(bytes: Uint8Array, size: number, where: string): string | null {
  const words = new TextDecoder("utf-8").decode(bytes);
  const [first] = /^---[ \t]*\r?\n/.exec(words) ?? [];
  if (first === undefined) return null;
  const end = /^---[ \t]*$/m.exec(words.slice(first.length));
  if (end !== null) return words.slice(first.length, first.length + end.index);
  if (size <= maxBytes) return null;
  throw new DatasetError(
    `${where} describes the dataset in more than ${maxBytes} bytes, the most that is read. ${advice}`,
  );
}

function parsed(front: string, where: string): unknown {
  try {
    // Keys are not compared with one another, which takes a time that grows with the square of their number.
    return parse(front, { uniqueKeys: false, maxAliasCount: maxAliases, logLevel: "error" }) as unknown;
  } catch (error) {
    const why = error instanceof Error ? error.message.split("\n")[0]!.slice(0, 200) : String(error);
    throw new DatasetError(`${where} begins with what is not YAML: ${why} ${advice}`, error);
  }
}
