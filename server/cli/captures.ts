import { captureDtypes } from "../../db/vocabulary.ts";
import { precisions } from "../../gpu/lm/precision.ts";
import type { CaptureView } from "../captures/views.ts";
import type { Invocation } from "./commands.ts";
import { bytes, duration, table } from "./format.ts";
import { UsageError } from "./usage.ts";
import { waitForWork } from "./work.ts";

/** Asks for a capture after saying what it takes; with --watch waits until its sets are ready. */
export async function createCapture(invocation: Invocation): Promise<void> {
  const { client, output, options, json } = invocation;
  const last = (name: string) => options.get(name)?.at(-1);
  const model_id = last("model");
  const tokenization_id = last("tokenization");
  const hooks = (options.get("hooks") ?? []).flatMap((list) => list.split(","));
  if (model_id === undefined || tokenization_id === undefined || hooks.length === 0) {
    throw new UsageError("--model, --tokenization and --hooks say what is to be captured.");
  }
  const name = last("name");
  const dtype = captureDtypes.find((one) => one === (last("dtype") ?? "float16"));
  if (dtype === undefined) throw new UsageError(`--dtype must be ${captureDtypes.join(" or ")}.`);
  const precision = precisions.find((one) => one === (last("precision") ?? "f32"));
  if (precision === undefined) throw new UsageError(`--precision must be one of ${precisions.join(", ")}.`);
  const excluded = (options.get("exclude-token") ?? []).map(Number);
  const batch = last("batch-size");
  const subject = {
    model_id,
    tokenization_id,
    hooks,
    dtype,
    precision,
    options: { excluded_token_ids: excluded, batch_size: batch === undefined ? null : Number(batch) },
  };
  if (!json) {
    const estimate = await client.api.captures.estimate.query(subject);
    const time = estimate.seconds === null ? "" : `, about ${duration(estimate.seconds)}`;
    const tokens = estimate.tokens.toLocaleString("en");
    output.out(`${tokens} tokens at ${hooks.length} hook points take ${bytes(estimate.bytes)}${time}.`);
  }
  const made = await client.api.captures.create.mutate({
    ...subject,
    ...(name === undefined ? {} : { name }),
  });
  output.out(json ? JSON.stringify(made) : `Created ${made.id}`);
  if (options.has("watch")) await watch(invocation, made.id);
}

export function watchCapture(invocation: Invocation): Promise<void> {
  return watch(invocation, invocation.words[0]!);
}

async function watch(invocation: Invocation, id: string): Promise<void> {
  const { client, output, json } = invocation;
  const found = await waitForWork(invocation, () => client.api.captures.get.query({ id }), [
    "queued",
    "running",
  ]);
  if (found.status === "canceled") throw new Error("The capture was canceled.");
  if (json) output.out(JSON.stringify(found));
  else {
    output.out(`Captured “${found.name}”${rate(found)}.`);
    for (const set of found.sets) output.out(`  ${set.hook_name}  activation set ${set.id}`);
  }
}

function rate({ tokens_per_second }: CaptureView): string {
  return tokens_per_second === null
    ? ""
    : ` at ${Math.round(tokens_per_second).toLocaleString("en")} tokens/s`;
}

export async function listCaptures({ client, output, options, json }: Invocation): Promise<void> {
  const list = await client.api.captures.list.query({ text: options.get("text")?.at(-1), limit: 200 });
  if (json) {
    output.out(JSON.stringify(list));
    return;
  }
  if (list.items.length === 0) {
    output.out("No captures match.");
    return;
  }
  const rows = list.items.map((one) => [
    one.id,
    one.name,
    one.status,
    one.progress === null || !one.progress.total
      ? ""
      : `${Math.floor((100 * one.progress.done) / one.progress.total)} %`,
    one.model.name,
    one.tokenization.name,
    one.hooks.length === 1 ? one.hooks[0]! : `${one.hooks.length} hook points`,
    bytes(one.estimate.bytes),
  ]);
  const head = ["id", "name", "status", "done", "model", "tokenization", "hooks", "size"];
  for (const line of table(head, rows)) output.out(line);
  if (list.total > list.items.length) output.out(`… ${list.total - list.items.length} more`);
}

export async function cancelCapture({ client, output, words }: Invocation): Promise<void> {
  await client.api.captures.cancel.mutate({ id: words[0]! });
  output.out("Canceled.");
}

export async function deleteCapture({ client, output, words }: Invocation): Promise<void> {
  await client.api.captures.delete.mutate({ id: words[0]! });
  output.out("Deleted.");
}
