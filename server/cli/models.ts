import { access } from "node:fs/promises";
import path from "node:path";
import type { ModelDetail, ModelSummary } from "../models/views.ts";
import type { Invocation } from "./commands.ts";
import { bytes, table } from "./format.ts";
import { waitForWork } from "./work.ts";

/**
 * Imports a model: from a folder that the server can read, where the word names one or looks like a path, else from the
 * hub. Waits until it is ready.
 */
export async function importModel(invocation: Invocation): Promise<void> {
  const { client, output, words, options, json } = invocation;
  const given = words[0]!;
  const last = (name: string) => options.get(name)?.at(-1);
  const name = last("name");
  const source = (await isPath(given))
    ? { kind: "folder" as const, path: path.resolve(given) }
    : { kind: "hub" as const, repo: given, revision: last("revision") };
  const { id } = await client.api.models.import.mutate({ source, ...(name === undefined ? {} : { name }) });
  const model = await waitForWork(invocation, () => client.api.models.get.query({ id }), ["importing"]);
  if (json) output.out(JSON.stringify(model));
  else output.out(`Imported “${model.name}”: ${describe(model)}. Id: ${model.id}`);
}

/** Names of repositories have at most one slash, and do not begin with a dot or a slash. */
export async function isPath(given: string): Promise<boolean> {
  if (/^[./~]/.test(given) || given.split("/").length > 2) return true;
  return access(given).then(
    () => true,
    () => false,
  );
}

function describe({ model_type, parameters, bytes: size }: ModelSummary): string {
  return `${model_type}, ${parameters?.toLocaleString("en")} parameters, ${bytes(size ?? 0)}`;
}

export async function listModels({ client, output, options, json }: Invocation): Promise<void> {
  const list = await client.api.models.list.query({ text: options.get("text")?.at(-1), limit: 200 });
  if (json) {
    output.out(JSON.stringify(list));
    return;
  }
  if (list.items.length === 0) {
    output.out("No models match. Import one with: npm run facet -- models import <folder or name>");
    return;
  }
  const rows = list.items.map((model) => [
    model.id,
    model.name,
    model.status === "ready" ? (model.model_type ?? "") : model.status,
    model.parameters?.toLocaleString("en") ?? "",
    model.n_layers === null ? "" : `${model.n_layers} x ${model.d_model}`,
    model.bytes === null ? "" : bytes(model.bytes),
    model.origin,
  ]);
  for (const line of table(["id", "name", "type", "parameters", "layers", "size", "from"], rows))
    output.out(line);
  if (list.total > list.items.length) output.out(`… ${list.total - list.items.length} more`);
}

export async function showModel({ client, output, words, json }: Invocation): Promise<void> {
  const model = await client.api.models.get.query({ id: words[0]! });
  if (json) output.out(JSON.stringify(model));
  else for (const line of lines(model)) output.out(line);
}

function lines(model: ModelDetail): string[] {
  const { uses } = model;
  const facts: [string, string | null][] = [
    ["id", model.id],
    ["status", model.reason === null ? model.status : `${model.status}: ${model.reason}`],
    ["from", model.origin],
    ["type", model.model_type],
    ["parameters", model.parameters?.toLocaleString("en") ?? null],
    ["layers", model.n_layers === null ? null : `${model.n_layers} of width ${model.d_model}`],
    ["context", model.n_ctx === null ? null : `${model.n_ctx} tokens`],
    ["vocabulary", model.d_vocab === null ? null : String(model.d_vocab)],
    ["tokenizer", model.has_tokenizer === null ? null : model.has_tokenizer ? "yes" : "none"],
    ["files", model.path],
    ["size", model.bytes === null ? null : bytes(model.bytes)],
    ["sha256", model.sha256],
    [
      "used by",
      `${uses.tokenizations} tokenizations, ${uses.captures} captures, ${uses.activation_sets} activation sets, ${uses.runs} runs`,
    ],
  ];
  const known = facts.filter((fact): fact is [string, string] => fact[1] !== null);
  const hooks = model.hook_points.map((hook) => [hook.name, String(hook.width)]);
  return [
    model.name,
    ...known.map(([name, value]) => `  ${name.padEnd(10)} ${value}`),
    ...(hooks.length === 0 ? [] : ["", ...table(["hook point", "width"], hooks)]),
  ];
}

export async function deleteModel({ client, output, words }: Invocation): Promise<void> {
  await client.api.models.delete.mutate({ id: words[0]! });
  output.out("Deleted.");
}
