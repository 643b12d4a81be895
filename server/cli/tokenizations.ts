import type { TokenizeOptionsInput } from "../tokens/options.ts";
import type { TokenizationView } from "../tokens/views.ts";
import type { Invocation } from "./commands.ts";
import { bytes, table } from "./format.ts";
import { UsageError } from "./usage.ts";
import { waitForWork } from "./work.ts";

/** Tokenizes a dataset of the server with a model's tokenizer, and waits until it is ready. */
export async function createTokenization(invocation: Invocation): Promise<void> {
  const { client, output, options, json } = invocation;
  const last = (name: string) => options.get(name)?.at(-1);
  const dataset_id = last("dataset");
  const model_id = last("model");
  if (dataset_id === undefined || model_id === undefined) {
    throw new UsageError("--dataset and --model name what is to be tokenized, and with whose tokenizer.");
  }
  const name = last("name");
  const { id } = await client.api.tokenizations.create.mutate({
    dataset_id,
    model_id,
    ...(name === undefined ? {} : { name }),
    options: optionsOf(invocation),
  });
  const made = await waitForWork(invocation, () => client.api.tokenizations.get.query({ id }), [
    "tokenizing",
  ]);
  if (json) output.out(JSON.stringify(made));
  else output.out(`Tokenized “${made.name}”: ${describe(made)}. Id: ${made.id}`);
}

/** Those that were named; the server checks them, and has the others' defaults. */
function optionsOf({ options }: Invocation): TokenizeOptionsInput {
  const last = (name: string) => options.get(name)?.at(-1);
  const numbers = { context_size: last("context-size"), held_out: last("held-out") };
  const words = { bos: last("bos"), separator: last("separator"), remainder: last("remainder") };
  return Object.fromEntries([
    ...Object.entries(numbers).flatMap(([key, value]) => (value === undefined ? [] : [[key, Number(value)]])),
    ...Object.entries(words).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  ]);
}

function describe({
  n_sequences,
  held_out_sequences,
  context_size,
  n_text_tokens,
  bytes: size,
}: TokenizationView) {
  return `${n_sequences?.toLocaleString("en")} sequences of ${context_size}, ${held_out_sequences?.toLocaleString("en")} held out, ${n_text_tokens?.toLocaleString("en")} tokens of text, ${bytes(size ?? 0)}`;
}

export async function listTokenizations({ client, output, options, json }: Invocation): Promise<void> {
  const last = (name: string) => options.get(name)?.at(-1);
  const list = await client.api.tokenizations.list.query({
    text: last("text"),
    dataset_id: last("dataset"),
    model_id: last("model"),
    limit: 200,
  });
  if (json) {
    output.out(JSON.stringify(list));
    return;
  }
  if (list.items.length === 0) {
    output.out("No tokenizations match.");
    return;
  }
  const rows = list.items.map((one) => [
    one.id,
    one.name,
    one.status,
    one.dataset.name,
    one.model.name,
    String(one.context_size),
    one.n_text_tokens?.toLocaleString("en") ?? "",
    one.bytes === null ? "" : bytes(one.bytes),
  ]);
  const head = ["id", "name", "status", "dataset", "model", "context", "tokens", "size"];
  for (const line of table(head, rows)) output.out(line);
  if (list.total > list.items.length) output.out(`… ${list.total - list.items.length} more`);
}

export async function deleteTokenization({ client, output, words }: Invocation): Promise<void> {
  await client.api.tokenizations.delete.mutate({ id: words[0]! });
  output.out("Deleted.");
}
