import type { SyntheticConfigInput } from "../../gpu/data/synthetic.ts";
import { type TrainingConfigInput, trainingConfigOptions } from "../../gpu/sae/config.ts";
import type { FacetClient } from "../client.ts";
import { withinLine } from "../headless/model-figures.ts";
import { parseValue } from "../headless/option-values.ts";
import type { CreateRunInput } from "../runs/check.ts";
import { endedStatuses } from "../runs/state-machine.ts";
import { type LiveMessage, type RunDetail, runStatuses } from "../runs/views.ts";
import type { Invocation } from "./commands.ts";
import { bytes, duration, table } from "./format.ts";
import { UsageError } from "./usage.ts";

export async function listAll({ client, output, options, json }: Invocation): Promise<void> {
  const last = (name: string) => options.get(name)?.at(-1);
  const status = options.get("status")?.map((value) => {
    const known = runStatuses.find((one) => one === value);
    if (known === undefined) throw new UsageError(`--status must be one of ${runStatuses.join(", ")}.`);
    return known;
  });
  const limit = Number(last("limit") ?? 50);
  if (!Number.isInteger(limit) || limit < 1 || limit > 200) {
    throw new UsageError("--limit must be a whole number from 1 to 200.");
  }
  const list = await client.api.runs.list.query({
    limit,
    status,
    text: last("text"),
    model: last("model"),
    dataset: last("dataset"),
  });
  if (json) {
    output.out(JSON.stringify(list));
    return;
  }
  if (list.items.length === 0) {
    output.out("No runs match.");
    return;
  }
  const rows = list.items.map((run) => [
    run.id,
    run.name,
    run.status,
    `${run.step}/${run.total_steps}`,
    run.latest === null ? "" : run.latest.fvu.toPrecision(3),
    run.architecture,
    `${run.d_sae}, ${run.sparsity}`,
    run.source.name,
    run.eta_seconds === null ? "" : duration(run.eta_seconds),
  ]);
  const head = ["id", "name", "status", "step", "fvu", "architecture", "d_sae", "source", "left"];
  for (const line of table(head, rows)) {
    output.out(line);
  }
  if (list.total > list.items.length) output.out(`… ${list.total - list.items.length} more`);
}

export async function showOne({ client, output, words, json }: Invocation): Promise<void> {
  const run = await client.api.runs.get.query({ id: words[0]! });
  if (json) output.out(JSON.stringify(run));
  else for (const line of describe(run)) output.out(line);
}

function describe(run: RunDetail): string[] {
  const facts: [string, string][] = [
    ["id", run.id],
    ["status", run.reason === null ? run.status : `${run.status}: ${run.reason}`],
    ["step", `${run.step} of ${run.total_steps}`],
    ["source", `${run.source.name}, ${run.hook_name}`],
    ["SAE", `${run.architecture}, ${widths(run)}, d_sae ${run.d_sae}, ${run.sparsity}`],
  ];
  if (run.latest !== null) {
    const { loss, fvu, l0, dead_features } = run.latest;
    facts.push([
      "metrics",
      `loss ${loss.toPrecision(4)}, FVU ${fvu.toPrecision(4)}, L0 ${l0.toFixed(1)}, ${dead_features} dead`,
    ]);
  }
  if (run.worker !== null) facts.push(["worker", `${run.worker.adapter} on ${run.worker.host}`]);
  if (run.memory !== null) facts.push(["memory", `${bytes(run.memory.planned_bytes)} planned`]);
  for (const checkpoint of run.checkpoints.slice(0, 3)) {
    facts.push(["checkpoint", `step ${checkpoint.step}, ${bytes(checkpoint.bytes)}, ${checkpoint.reason}`]);
  }
  if (run.sae !== null) {
    facts.push(["files", run.sae.path], ["sha256", run.sae.sha256]);
    if (run.sae.recovery !== null) {
      const { mcc, f1, uniqueness } = run.sae.recovery;
      facts.push([
        "recovery",
        `MCC ${mcc.toFixed(4)}, F1 ${f1.toFixed(4)}, uniqueness ${uniqueness.toFixed(4)}`,
      ]);
    }
  }
  return [run.name, ...facts.map(([name, value]) => `  ${name.padEnd(10)} ${value}`)];
}

function widths({ d_in, d_out, n_hook_points }: RunDetail): string {
  if (n_hook_points > 1) return `${n_hook_points} hook points of d_in ${d_in}`;
  return d_out === d_in ? `d_in ${d_in}` : `d_in ${d_in}, d_out ${d_out}`;
}

export async function createOne(invocation: Invocation): Promise<void> {
  const { client, output, json, options } = invocation;
  const input = await createInputOf(invocation);
  const created = await client.api.runs.create.mutate(input);
  output.out(json ? JSON.stringify(created) : `Created ${created.id}`);
  if (options.has("watch")) await watchRun(invocation, created.id);
}

const notOptions = [
  ...[
    "set",
    "synthetic",
    "model",
    "tokenization",
    "hooks",
    "model-precision",
    "eval-every",
    "eval-sequences",
  ],
  ...["description", "watch", "url", "token", "json", "help"],
];

/** The configuration as given: the server fills in defaults and names every fault. */
async function createInputOf({ client, words, options }: Invocation): Promise<CreateRunInput> {
  const last = (name: string) => options.get(name)?.at(-1);
  const config: Record<string, unknown> = {};
  for (const [key, values] of options) {
    if (notOptions.includes(key)) continue;
    if (!(key in trainingConfigOptions.shape)) {
      throw new UsageError(`There is no training option --${key}.`);
    }
    config[key] = parseValue(values.at(-1)!);
  }
  const sets = options.get("set") ?? [];
  const synthetic: Record<string, unknown> = {};
  for (const pair of options.get("synthetic") ?? []) {
    const at = pair.indexOf("=");
    if (at < 1) throw new UsageError(`--synthetic takes key=value, not ${pair}.`);
    synthetic[pair.slice(0, at)] = parseValue(pair.slice(at + 1));
  }
  const live = liveOf(options);
  if ([sets.length > 0, options.has("synthetic"), live !== null].filter(Boolean).length > 1) {
    throw new UsageError("A run trains on --set, on --synthetic, or on --model, not on several of them.");
  }
  const widths =
    live === null
      ? await widthsOfSets(client, sets, config.architecture)
      : await widthsOfHooks(client, live, config.architecture);
  Object.assign(config, { ...widths, ...config });
  if (live === null && sets.length === 0 && config.d_in === undefined && typeof synthetic.d_in === "number") {
    config.d_in = synthetic.d_in;
  }
  const description = last("description");
  return {
    name: words[0]!,
    ...(description === undefined ? {} : { description }),
    // Checked by the server, value by value.
    source:
      live !== null
        ? live
        : sets.length === 0
          ? { kind: "synthetic", synthetic: synthetic as SyntheticConfigInput }
          : { kind: "activation_set", activation_set_ids: sets },
    config: config as TrainingConfigInput,
  };
}

type LiveInput = Extract<CreateRunInput["source"], { kind: "live" }>;

/** Null where no model is named. */
function liveOf(options: Invocation["options"]): LiveInput | null {
  const [model_id, tokenization_id] = [options.get("model")?.at(-1), options.get("tokenization")?.at(-1)];
  const hooks = (options.get("hooks") ?? []).flatMap((list) => list.split(","));
  if (model_id === undefined && tokenization_id === undefined && hooks.length === 0) return null;
  if (model_id === undefined || tokenization_id === undefined || hooks.length === 0) {
    throw new UsageError("A live run needs --model, --tokenization and --hooks.");
  }
  // What is no number, and what precision there is, the server says.
  const number = (name: string) => {
    const given = options.get(name)?.at(-1);
    return given === undefined ? undefined : (parseValue(given) as number);
  };
  const precision = options.get("model-precision")?.at(-1) as LiveInput["precision"];
  return {
    ...{ kind: "live", model_id, tokenization_id, hooks },
    ...(precision === undefined ? {} : { precision }),
    eval_every_steps: number("eval-every") ?? null,
    ...(options.has("eval-sequences") ? { eval_sequences: number("eval-sequences")! } : {}),
  };
}

async function widthsOfHooks(
  client: FacetClient,
  { model_id, hooks }: LiveInput,
  architecture: unknown,
): Promise<Record<string, unknown>> {
  const { hook_points } = await client.api.models.get.query({ id: model_id });
  const [first, second] = hooks.map((hook) => hook_points.find(({ name }) => name === hook)?.width);
  return widthOptions(first, second, hooks.length, architecture);
}

/** The options that the sets give: a second one is a transcoder's target, or a crosscoder's next hook point. */
async function widthsOfSets(
  client: FacetClient,
  sets: readonly string[],
  architecture: unknown,
): Promise<Record<string, unknown>> {
  if (sets.length === 0) return {};
  const [first, second] = await Promise.all(
    sets.slice(0, 2).map((id) => client.api.activationSets.get.query({ id })),
  );
  return widthOptions(first?.d_in, second?.d_in, sets.length, architecture);
}

function widthOptions(
  d_in: number | null | undefined,
  d_out: number | null | undefined,
  n_hook_points: number,
  architecture: unknown,
): Record<string, unknown> {
  return {
    d_in,
    ...(architecture === "transcoder" || architecture === "skip_transcoder" ? { d_out } : {}),
    ...(architecture === "crosscoder" ? { n_hook_points } : {}),
  };
}

/** Follows a run until it ends; fails unless it completed or was stopped. */
export function watchRun({ client, output, json }: Invocation, id: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (error?: unknown) => {
      if (error === undefined) resolve();
      else reject(error);
      // After settling: unsubscribing completes the subscription, which by itself means a deleted run.
      subscription.unsubscribe();
    };
    let total = 0;
    const show = (message: LiveMessage) => {
      if (json) output.out(JSON.stringify(message));
      if (message.type === "snapshot") total = message.run.total_steps;
      const line = json ? null : lineOf(message, total);
      if (line !== null) output.out(line);
      const status =
        message.type === "snapshot" ? message.run.status : message.type === "status" ? message.status : null;
      if (status === null || !endedStatuses.includes(status)) return;
      const reason =
        message.type === "snapshot" ? message.run.reason : "reason" in message ? message.reason : null;
      finish(status === "failed" ? new Error(reason ?? "The run failed.") : undefined);
    };
    const subscription = client.api.runs.live.subscribe(
      { id },
      {
        onData: ({ data }) => show(data),
        onComplete: () => finish(new Error("The run was deleted.")),
        onError: finish,
      },
    );
  });
}

function lineOf(message: LiveMessage, total: number): string | null {
  switch (message.type) {
    case "snapshot":
      return `${message.run.name}: ${message.run.status}, step ${message.run.step} of ${total}`;
    case "status":
      return message.reason === null ? message.status : `${message.status}: ${message.reason}`;
    case "metrics": {
      const row = message.rows.at(-1);
      if (row === undefined) return null;
      return `step ${row.step}/${total}  loss ${row.loss.toPrecision(4)}  FVU ${row.fvu.toPrecision(4)}  L0 ${row.l0.toFixed(1)}  dead ${row.dead_features}  ${Math.round(row.tokens_per_second)} tokens/s`;
    }
    case "checkpoint":
      return `checkpoint at step ${message.checkpoint.step}, ${bytes(message.checkpoint.bytes)}`;
    case "evaluation":
      return withinLine("", message.evaluation.step, message.evaluation);
    case "sae": {
      const { recovery, path } = message.sae;
      return recovery === null
        ? `SAE in ${path}`
        : `SAE in ${path}: MCC ${recovery.mcc.toFixed(4)}, F1 ${recovery.f1.toFixed(4)}, uniqueness ${recovery.uniqueness.toFixed(4)}`;
    }
    case "progress":
      return message.message;
    case "warning":
      return `warning: ${message.message}`;
  }
}

type Control = "pause" | "resume" | "stop" | "cancel" | "retry";

export async function controlOne(
  { client, output, words, json }: Invocation,
  control: Control,
): Promise<void> {
  const result = await client.api.runs.control.mutate({ id: words[0]!, control });
  const underWay =
    (control === "pause" || control === "stop") &&
    (result.status === "initializing" || result.status === "running");
  if (json) output.out(JSON.stringify(result));
  else
    output.out(underWay ? `Asked to ${control}; the worker saves its state first.` : `Now ${result.status}.`);
}

export async function deleteOne({ client, output, words }: Invocation): Promise<void> {
  await client.api.runs.delete.mutate({ id: words[0]! });
  output.out("Deleted.");
}
