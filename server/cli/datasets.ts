import { openAsBlob } from "node:fs";
import path from "node:path";
import type { DatasetOptions } from "../../db/stored.ts";
import { faultsOf } from "../client.ts";
import type { DatasetDetail, DatasetSummary } from "../datasets/views.ts";
import type { Invocation } from "./commands.ts";
import { bytes, table } from "./format.ts";
import { isPath } from "./models.ts";
import { UsageError } from "./usage.ts";
import { waitForWork } from "./work.ts";

/**
 * Imports a dataset: from a path that the server can read, else by uploading the file; or from the hub, where the word
 * is no path. Waits until it is ready.
 */
export async function importDataset(invocation: Invocation): Promise<void> {
  const { client, output, words, options, json } = invocation;
  const given = words[0]!;
  const last = (name: string) => options.get(name)?.at(-1);
  const name = last("name");
  const described = { ...(name === undefined ? {} : { name }), options: optionsOf(invocation) };
  const { id } = (await isPath(given))
    ? await importFile(invocation, path.resolve(given), described)
    : await client.api.datasets.import.mutate({
        ...described,
        source: {
          kind: "hub",
          repo: given,
          revision: last("revision"),
          config: last("config") ?? null,
          split: last("split") ?? null,
        },
      });
  const dataset = await waitForWork(invocation, () => client.api.datasets.get.query({ id }), ["importing"]);
  if (json) output.out(JSON.stringify(dataset));
  else output.out(`Imported “${dataset.name}”: ${describe(dataset)}. Id: ${dataset.id}`);
}

interface Described {
  name?: string;
  options: Partial<DatasetOptions>;
}

async function importFile(
  { client, output, options, json }: Invocation,
  file: string,
  described: Described,
): Promise<{ id: string }> {
  if (!options.has("upload")) {
    const byPath = await client.api.datasets.import
      .mutate({ ...described, source: { kind: "path", path: file } })
      .catch((error: unknown) => {
        // The server cannot or may not read this path; the bytes can still be sent.
        if (faultsOf(error).some((fault) => fault.path === "path")) return null;
        throw error;
      });
    if (byPath !== null) return byPath;
  }
  if (!json) output.out("Uploading …");
  const { name, options: chosen } = described;
  const given = Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== null));
  return client.uploadDataset(await openAsBlob(file), {
    file_name: path.basename(file),
    ...(name === undefined ? {} : { name }),
    ...given,
  });
}

/** Those that were named; the server has the others' defaults. */
function optionsOf({ options }: Invocation): Partial<DatasetOptions> {
  const last = (name: string) => options.get(name)?.at(-1);
  const chosen: Partial<DatasetOptions> = {};
  const column = last("text-column");
  if (column !== undefined) chosen.text_column = column;
  const separator = last("separator");
  const split = last("split-on");
  if (separator !== undefined) chosen.split_on = { separator };
  else if (split !== undefined) {
    if (split !== "file" && split !== "blank-line" && split !== "line") {
      throw new UsageError("--split-on must be file, blank-line or line; or give --separator.");
    }
    chosen.split_on = split;
  }
  const documents = last("limit-documents");
  if (documents !== undefined) chosen.limit_documents = Number(documents);
  const characters = last("limit-characters");
  if (characters !== undefined) chosen.limit_characters = Number(characters);
  return chosen;
}

function describe({ n_documents, n_characters, bytes: size }: DatasetSummary): string {
  return `${n_documents?.toLocaleString("en")} documents, ${n_characters?.toLocaleString("en")} characters, ${bytes(size ?? 0)}`;
}

export async function listDatasets({ client, output, options, json }: Invocation): Promise<void> {
  const list = await client.api.datasets.list.query({ text: options.get("text")?.at(-1), limit: 200 });
  if (json) {
    output.out(JSON.stringify(list));
    return;
  }
  if (list.items.length === 0) {
    output.out("No datasets match. Import one with: npm run facet -- datasets import <path or name>");
    return;
  }
  const rows = list.items.map((dataset) => [
    dataset.id,
    dataset.name,
    dataset.status,
    dataset.n_documents?.toLocaleString("en") ?? "",
    dataset.n_characters?.toLocaleString("en") ?? "",
    dataset.bytes === null ? "" : bytes(dataset.bytes),
    String(dataset.tokenizations),
    dataset.origin,
  ]);
  const head = ["id", "name", "status", "documents", "characters", "size", "tokenizations", "from"];
  for (const line of table(head, rows)) output.out(line);
  if (list.total > list.items.length) output.out(`… ${list.total - list.items.length} more`);
}

export async function showStoredDataset({ client, output, words, json }: Invocation): Promise<void> {
  const dataset = await client.api.datasets.get.query({ id: words[0]! });
  if (json) {
    output.out(JSON.stringify(dataset));
    return;
  }
  for (const line of lines(dataset)) output.out(line);
  if (dataset.status !== "ready") return;
  const { documents } = await client.api.datasets.documents.query({ id: dataset.id, count: 3, length: 200 });
  for (const { index, text, truncated } of documents) {
    output.out("");
    output.out(`  document ${index}: ${text}${truncated ? " …" : ""}`);
  }
}

function lines(dataset: DatasetDetail): string[] {
  const { statistics } = dataset;
  const facts: [string, string | null][] = [
    ["id", dataset.id],
    ["status", dataset.reason === null ? dataset.status : `${dataset.status}: ${dataset.reason}`],
    ["from", dataset.origin],
    ["holds", dataset.n_documents === null ? null : describe(dataset)],
    [
      "lengths",
      statistics === null
        ? null
        : `${statistics.lengths.shortest} to ${statistics.lengths.longest} characters`,
    ],
    [
      "duplicates",
      statistics === null
        ? null
        : `${statistics.duplicates.count} among the first ${statistics.duplicates.among}`,
    ],
    ["files", dataset.path],
    ["sha256", dataset.sha256],
    ["used by", `${dataset.tokenizations} tokenizations`],
  ];
  const known = facts.filter((fact): fact is [string, string] => fact[1] !== null);
  return [dataset.name, ...known.map(([name, value]) => `  ${name.padEnd(10)} ${value}`)];
}

export async function deleteDataset({ client, output, words }: Invocation): Promise<void> {
  await client.api.datasets.delete.mutate({ id: words[0]! });
  output.out("Deleted.");
}
