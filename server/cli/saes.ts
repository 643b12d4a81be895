import { createWriteStream } from "node:fs";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream as NodeReadableStream } from "node:stream/web";
import { precisions } from "../../gpu/lm/precision.ts";
import { type WritableFormat, writableFormats } from "../formats/formats.ts";
import type { SaeDetail, SaeEvaluationView, SaeSummary } from "../saes/views.ts";
import type { Invocation } from "./commands.ts";
import { bytes, table } from "./format.ts";
import { UsageError } from "./usage.ts";

const watchMs = 500;

export async function listSaes({ client, output, options, json }: Invocation): Promise<void> {
  const last = (name: string) => options.get(name)?.at(-1);
  const kind = last("kind");
  if (kind !== undefined && kind !== "trained" && kind !== "imported") {
    throw new UsageError("--kind must be trained or imported.");
  }
  const list = await client.api.saes.list.query({ limit: 200, text: last("text"), kind });
  if (json) {
    output.out(JSON.stringify(list));
    return;
  }
  if (list.items.length === 0) {
    output.out("No SAEs match.");
    return;
  }
  const rows = list.items.map((sae) => [
    sae.id,
    sae.name,
    sae.status === "ready" ? (sae.architecture ?? "") : sae.status,
    widths(sae),
    sae.l0?.toFixed(1) ?? "",
    sae.fvu?.toPrecision(3) ?? "",
    sae.run === null ? sae.format : "run",
    sae.bytes === null ? "" : bytes(sae.bytes),
  ]);
  for (const line of table(["id", "name", "architecture", "widths", "l0", "fvu", "from", "size"], rows)) {
    output.out(line);
  }
  if (list.total > list.items.length) output.out(`… ${list.total - list.items.length} more`);
}

export async function showSae({ client, output, words, json }: Invocation): Promise<void> {
  const sae = await client.api.saes.get.query({ id: words[0]! });
  if (json) output.out(JSON.stringify(sae));
  else for (const line of describe(sae)) output.out(line);
}

function widths({ d_in, d_out, d_sae }: SaeSummary): string {
  return `${d_in} → ${d_sae}${d_out === d_in ? "" : ` → ${d_out}`}`;
}

function describe(sae: SaeDetail): string[] {
  const facts: [string, string | null][] = [
    ["id", sae.id],
    ["status", sae.reason === null ? sae.status : `${sae.status}: ${sae.reason}`],
    ["from", sae.run === null ? `${sae.origin} (${sae.format})` : `run ${sae.run.name}`],
    ["kind", `${sae.architecture}, ${widths(sae)}`],
    ["hook", sae.hook_name],
    ["model", sae.model_name],
    ["dataset", sae.dataset_name],
    ["files", sae.path],
    ["size", sae.bytes === null ? null : bytes(sae.bytes)],
    ["sha256", sae.sha256],
    ["training", sae.evaluation === null ? null : figures(sae.evaluation)],
    ...sae.evaluations.map((one): [string, string] => ["evaluated", evaluated(one)]),
  ];
  const known = facts.filter((fact): fact is [string, string] => fact[1] !== null);
  return [sae.name, ...known.map(([name, value]) => `  ${name.padEnd(10)} ${value}`)];
}

function figures({ fvu, l0 }: { fvu: number | null; l0: number }): string {
  return `FVU ${fvu?.toPrecision(4) ?? "undefined"}, L0 ${l0.toFixed(2)}`;
}

function evaluated(evaluation: SaeEvaluationView): string {
  const { sets, subject, status, progress, reason, result, model_result } = evaluation;
  const on =
    subject === null
      ? sets.map(({ name }) => name).join(", ")
      : `${subject.model.name} on ${subject.tokenization.name}`;
  if (model_result !== null) {
    const { ce_clean, ce_spliced, delta_ce, kl, l0, n_tokens } = model_result;
    const recovered = model_result.loss_recovered?.toFixed(4) ?? "undefined";
    return `${on}: CE ${ce_spliced.toFixed(4)} for ${ce_clean.toFixed(4)} (${delta_ce >= 0 ? "+" : ""}${delta_ce.toFixed(4)}), loss recovered ${recovered}, KL ${kl.toFixed(4)}, L0 ${l0.toFixed(2)}, ${n_tokens} tokens`;
  }
  if (result !== null) {
    const { reconstruction, firing, tokens } = result;
    return `${on}: ${figures({ fvu: reconstruction.fvu, l0: firing.l0 })}, ${tokens} tokens`;
  }
  if (status === "failed") return `${on}: failed: ${reason}`;
  return `${on}: ${status}${status === "running" ? `, ${Math.floor(progress * 100)} %` : ""}`;
}

/** Imports from a path that the server can read, and waits until the SAE is ready. */
export async function importSae(invocation: Invocation): Promise<void> {
  const { client, output, words, options, json } = invocation;
  const name = options.get("name")?.at(-1);
  const { id } = await client.api.saes.import.mutate({
    path: path.resolve(words[0]!),
    ...(name === undefined ? {} : { name }),
  });
  const sae = await until(
    () => client.api.saes.get.query({ id }),
    ({ status }) => status !== "importing",
  );
  if (sae.status === "failed") throw new Error(sae.reason ?? "The import failed.");
  if (json) output.out(JSON.stringify(sae));
  else
    output.out(`Imported “${sae.name}”: ${sae.architecture}, ${widths(sae)} (${sae.format}). Id: ${sae.id}`);
}

/** Takes an SAE from the server as a zip file. */
export async function downloadSae({ client, output, words, options }: Invocation): Promise<void> {
  const wanted = options.get("format")?.at(-1) ?? "saelens";
  const format = writableFormats.find((one): one is WritableFormat => one === wanted);
  if (format === undefined) throw new UsageError(`--format must be one of ${writableFormats.join(", ")}.`);
  const out = options.get("out")?.at(-1) ?? `${words[0]!}-${format}.zip`;
  const body = await client.downloadSae(words[0]!, format);
  await pipeline(
    Readable.fromWeb(body as NodeReadableStream<Uint8Array>),
    createWriteStream(out, { flags: "wx" }),
  );
  output.out(`Wrote ${out}`);
}

/** Has an SAE measured by a worker, on activation sets or in its model, and waits for the figures. */
export async function evaluateSae(invocation: Invocation): Promise<void> {
  const { client, output, words, json } = invocation;
  const id = words[0]!;
  const asked = await askForEvaluation(invocation, id);
  const evaluation = await until(
    async () => (await client.api.saes.get.query({ id })).evaluations.find((one) => one.id === asked.id),
    (one) => one === undefined || one.status === "done" || one.status === "failed",
  );
  if (evaluation === undefined) throw new Error("The evaluation was deleted.");
  if (evaluation.status === "failed") throw new Error(evaluation.reason ?? "The evaluation failed.");
  output.out(json ? JSON.stringify(evaluation) : evaluated(evaluation));
}

function askForEvaluation({ client, options }: Invocation, id: string): Promise<{ id: string }> {
  const last = (name: string) => options.get(name)?.at(-1);
  const sets = options.get("set") ?? [];
  const [model_id, tokenization_id] = [last("model"), last("tokenization")];
  if (model_id !== undefined && tokenization_id !== undefined && sets.length === 0) {
    const [hook_name, sequences] = [last("hook-name"), last("sequences")];
    const precision = precisions.find((one) => one === (last("precision") ?? "f32"));
    if (precision === undefined) throw new UsageError(`--precision must be one of ${precisions.join(", ")}.`);
    return client.api.saes.evaluateInModel.mutate({
      id,
      model_id,
      tokenization_id,
      precision,
      ...(hook_name === undefined ? {} : { hook_name }),
      ...(sequences === undefined ? {} : { n_sequences: Number(sequences) }),
    });
  }
  if (sets.length === 0 || model_id !== undefined || tokenization_id !== undefined) {
    throw new UsageError(
      "--set names the activation set to measure on; or --model and --tokenization the model.",
    );
  }
  const tokens = last("tokens");
  return client.api.saes.evaluate.mutate({
    id,
    activation_set_ids: sets,
    ...(tokens === undefined ? {} : { tokens: Number(tokens) }),
  });
}

export async function deleteSae({ client, output, words }: Invocation): Promise<void> {
  await client.api.saes.delete.mutate({ id: words[0]! });
  output.out("Deleted.");
}

async function until<T>(look: () => Promise<T>, done: (found: T) => boolean): Promise<T> {
  for (;;) {
    const found = await look();
    if (done(found)) return found;
    await new Promise((resolve) => setTimeout(resolve, watchMs));
  }
}
