import { openAsBlob } from "node:fs";
import { access, constants, realpath } from "node:fs/promises";
import path from "node:path";
import type { ActivationSetView } from "../activations/views.ts";
import { faultsOf } from "../client.ts";
import type { Invocation } from "./commands.ts";
import { bytes, table } from "./format.ts";

const watchMs = 500;

/**
 * Imports a file: by its path where the server can read that path too (same machine or shared disk), else by
 * uploading it. Waits until the set is ready.
 */
export async function importSet(invocation: Invocation): Promise<void> {
  const { client, output, options, json } = invocation;
  const given = invocation.words[0]!;
  await access(given, constants.R_OK).catch(() => {
    throw new Error(`There is no file ${given}, or it may not be read.`);
  });
  const file = await realpath(path.resolve(given));
  const option = (name: string) => options.get(name)?.at(-1);
  const description = {
    name: option("name") ?? path.basename(given).replace(/\.safetensors$/, ""),
    hook_name: option("hook-name"),
    model_name: option("model-name"),
    dataset_name: option("dataset-name"),
    tensor: option("tensor"),
  };
  const byPath = options.has("upload")
    ? null
    : await client.api.activationSets.import
        .mutate({ ...description, path: file })
        .catch((error: unknown) => {
          // The server cannot or may not read this path; the bytes can still be sent.
          if (faultsOf(error).some((fault) => fault.path === "path")) return null;
          throw error;
        });
  if (byPath === null && !json) output.out("Uploading …");
  const { id } = byPath ?? (await client.uploadActivations(await openAsBlob(file), description));
  const set = await waitForSet(invocation, id);
  if (json) output.out(JSON.stringify(set));
  else output.out(`Imported “${set.name}”: ${describe(set)}. Id: ${set.id}`);
}

async function waitForSet({ client, output, json }: Invocation, id: string): Promise<ActivationSetView> {
  let shown = -1;
  for (;;) {
    const set = await client.api.activationSets.get.query({ id });
    if (set.status === "ready") return set;
    if (set.status === "failed") throw new Error(set.reason ?? "The import failed.");
    const percent = Math.floor(set.progress * 100);
    if (!json && percent >= shown + 10) {
      shown = percent;
      output.out(`Importing … ${percent} %`);
    }
    await new Promise((resolve) => setTimeout(resolve, watchMs));
  }
}

function describe(set: ActivationSetView): string {
  return `${set.n_tokens} tokens of width ${set.d_in} (${set.source_dtype}), ${bytes(set.bytes ?? 0)}, mean norm ${set.mean_norm?.toPrecision(4)}`;
}

export async function listSets({ client, output, options, json }: Invocation): Promise<void> {
  const text = options.get("text")?.at(-1);
  const list = await client.api.activationSets.list.query({
    ...(text === undefined ? {} : { text }),
    limit: 200,
  });
  if (json) {
    output.out(JSON.stringify(list));
    return;
  }
  if (list.items.length === 0) {
    output.out("No activation sets. Import one with: npm run facet -- activations import <file>");
    return;
  }
  const rows = list.items.map((set) => [
    set.id,
    set.name,
    set.status,
    set.hook_name,
    String(set.n_tokens ?? ""),
    String(set.d_in ?? ""),
    set.bytes === null ? "" : bytes(set.bytes),
    String(set.runs),
  ]);
  for (const line of table(["id", "name", "status", "hook name", "tokens", "d_in", "size", "runs"], rows)) {
    output.out(line);
  }
  if (list.next_cursor !== null) output.out(`… ${list.total - list.items.length} more`);
}

export async function deleteSet({ client, output, words }: Invocation): Promise<void> {
  await client.api.activationSets.delete.mutate({ id: words[0]! });
  output.out("Deleted.");
}
