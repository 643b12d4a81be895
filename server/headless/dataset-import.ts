import { existsSync } from "node:fs";
import type { LocalInvocation } from "../cli/commands.ts";
import { bytes, table } from "../cli/format.ts";
import { importDataset } from "../datasets/import.ts";
import type { LengthSummary } from "../datasets/length-histogram.ts";
import type { DatasetManifest } from "../datasets/manifest.ts";
import type { DatasetSource, SplitOn } from "../datasets/options.ts";
import { environment } from "../environment.ts";
import { InvalidInputError } from "../errors.ts";
import { hubOptions } from "../hub/hub-options.ts";
import { exitCode } from "./exit-code.ts";
import { GivenOptions, withOptionFaults } from "./given-options.ts";
import { Interruption } from "./interruption.ts";
import { LateProgress } from "./late-progress.ts";

export const datasetImportOptions = [
  "name",
  "text-column",
  "config",
  "split",
  "revision",
  "split-on",
  "separator",
  "limit-documents",
  "limit-characters",
  "out",
] as const;

const splits = ["file", "blank-line", "line"] as const;

/** `facet dataset import`: keeps the documents of files, or of a hub's dataset, in a folder. */
export async function importDatasetTo({ output, words, options, json }: LocalInvocation): Promise<number> {
  const given = new GivenOptions(options);
  const folder = given.needed("out", "Give the folder to keep the dataset in; it is made.");
  const source = sourceOf(words[0]!, given);
  const separator = given.text("separator");
  const splitOn: SplitOn | null =
    separator === null ? given.choice("split-on", splits) : { separator: unescaped(separator) };
  if (separator !== null && given.text("split-on") !== null) {
    given.fault("separator", "Give --split-on or --separator, not both.");
  }
  const request = {
    name: given.text("name"),
    text_column: given.text("text-column"),
    split_on: splitOn,
    limit_documents: given.number("limit-documents"),
    limit_characters: given.number("limit-characters"),
  };
  if (given.faults.length > 0) throw new InvalidInputError(given.faults);
  const interruption = new Interruption();
  const line = json ? output.err : output.out;
  const progress = new LateProgress({ unit: "byte", line, rewrite: output.rewrite });
  try {
    const manifest = await withOptionFaults(() =>
      importDataset({
        source,
        folder,
        options: request,
        hub: source.kind === "hub" ? hubOptions(environment()) : null,
        signal: interruption.signal,
        onProgress({ stage, bytes: done, total_bytes, documents }) {
          const detail = `${documents} documents${stage === "downloading" ? ", downloading" : ""}`;
          progress.update(done, total_bytes, detail);
        },
      }),
    );
    progress.end();
    if (json) output.out(JSON.stringify(manifest));
    else for (const one of [...datasetLines(manifest), `Dataset in ${folder}`]) output.out(one);
    return exitCode.done;
  } finally {
    progress.end();
    interruption.dispose();
  }
}

/** What is there is a file or folder; otherwise owner/name is a dataset of the hub. */
function sourceOf(word: string, given: GivenOptions): DatasetSource {
  const hubOnly = ["config", "split", "revision"].filter((name) => given.text(name) !== null);
  const isName = /^[\w.-]+\/[\w.-]+$/.test(word) && !/^\.{1,2}\//.test(word);
  if (existsSync(word) || !isName) {
    for (const name of hubOnly)
      given.fault(name, `${word} is a path; --${name} is for a dataset of the hub.`);
    return { kind: "path", path: word };
  }
  return {
    kind: "hub",
    repo: word,
    config: given.text("config"),
    split: given.text("split"),
    revision: given.text("revision") ?? "main",
  };
}

/** A separator as it is typed: \n, \t and \\ are what they are in JSON. */
function unescaped(text: string): string {
  return text.replace(/\\([nrt\\])/g, (_, letter: string) => ({ n: "\n", r: "\r", t: "\t" })[letter] ?? "\\");
}

/** A dataset in words. */
export function datasetLines(manifest: DatasetManifest): string[] {
  const { name, source, n_documents, n_characters, n_empty, duplicates, columns, lengths } = manifest;
  const number = (count: number) => count.toLocaleString("en");
  const facts: [string, string][] = [
    [
      "source",
      source.kind === "path"
        ? source.path
        : `${source.repo}, ${source.config}, ${source.split}, ${source.revision} (${source.commit.slice(0, 12)})`,
    ],
    ["documents", number(n_documents)],
    ["characters", `${number(n_characters)}, ${bytes(manifest.bytes)} in UTF-8`],
    ["left out", `${number(n_empty)} empty`],
    ["duplicates", `${number(duplicates.count)} among the first ${number(duplicates.among)}`],
    ["columns", [columns.text ?? "(plain text)", ...columns.meta].join(", ")],
    ["sha256", manifest.sha256],
  ];
  return [
    `Dataset ${name}`,
    ...facts.map(([fact, value]) => `  ${fact.padEnd(10)}  ${value}`),
    ...(manifest.limited ? ["  A limit ended the import before its source did."] : []),
    "",
    ...lengthLines("characters", lengths),
  ];
}

/** A histogram as a table. */
export function lengthLines(unit: string, { buckets }: LengthSummary): string[] {
  const most = Math.max(...buckets.map(({ count }) => count));
  return table(
    [unit, "documents", ""],
    buckets.map(({ from, to, count }) => [
      from === to ? String(from) : `${from} to ${to}`,
      String(count),
      "#".repeat(Math.round((40 * count) / most)),
    ]),
  );
}
