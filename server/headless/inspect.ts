import path from "node:path";
import { totalSteps } from "../../gpu/sae/config.ts";
import type { LocalInvocation } from "../cli/commands.ts";
import { bytes, table } from "../cli/format.ts";
import { ServiceError } from "../errors.ts";
import { type Inspection, inspectFolder, type SaeDescription } from "../formats/inspect.ts";
import { NoSaeError } from "../formats/sae-format-error.ts";
import { exitCode } from "./exit-code.ts";
import { type DataDescription, dataLines, describeData } from "./inspect-data.ts";
import {
  checkpointSteps,
  hasRunRecord,
  type RunFailure,
  readFailure,
  readRunConfig,
  readRunRecord,
  saeFolderOf,
} from "./run-folder.ts";

/** A folder that `facet train` made. */
interface TrainedDescription {
  kind: "run";
  path: string;
  adapter: string;
  saes: {
    label: string;
    architecture: string;
    d_in: number;
    d_sae: number;
    total_steps: number;
    /** Steps of its checkpoints, newest first. */
    checkpoints: number[];
    /** Null until training has ended. */
    sae: SaeDescription | null;
    failure: RunFailure | null;
  }[];
}

/** A file or folder that is none of what Facet reads or writes. */
class UnknownContentsError extends ServiceError {
  override readonly name = "UnknownContentsError";
  constructor(target: string, cause: unknown) {
    super("invalid", `${target} is nothing that is known here. Looked for ${known}.`, { cause });
  }
}

const known =
  "a run (run.json, or checkpoints and sae), a checkpoint (state.safetensors), an SAE of SAELens or Facet (cfg.json and " +
  "sae_weights.safetensors), dictionary_learning (ae.pt), sparsify (sae.safetensors), Gemma Scope (params.npz, " +
  "params.safetensors) or OpenAI (.pt), other tensors (.safetensors), an activation set (manifest.json and rows-00000.bin or " +
  "activations.bin), a capture (a folder with such sets), tokens (spans.index), a dataset (documents.index) and a language " +
  "model (config.json and model.safetensors)";

type Description = Inspection | TrainedDescription | DataDescription;

/** `facet inspect`: what a folder or file holds, by its headers; weights are not read. */
export async function inspect({ output, words, json }: LocalInvocation): Promise<number> {
  const target = words[0]!;
  const found = await describe(target);
  if (json) output.out(JSON.stringify(found));
  else for (const line of lines(found)) output.out(line);
  return exitCode.done;
}

async function describe(target: string): Promise<Description> {
  if (hasRunRecord(target)) return inspectTrained(target);
  try {
    return (await describeData(target)) ?? (await inspectFolder(target));
  } catch (error) {
    throw error instanceof NoSaeError ? new UnknownContentsError(target, error) : error;
  }
}

async function inspectTrained(folder: string): Promise<TrainedDescription> {
  const { labels, adapter } = await readRunRecord(folder);
  const saes = labels.map(async (label) => {
    const own = path.join(folder, label);
    const config = await readRunConfig(own);
    const sae = await inspectFolder(saeFolderOf(own)).catch(() => null);
    return {
      label,
      architecture: config.architecture,
      d_in: config.d_in,
      d_sae: config.d_sae,
      total_steps: totalSteps(config),
      checkpoints: await checkpointSteps(own),
      sae: sae?.kind === "sae" ? sae : null,
      failure: await readFailure(own),
    };
  });
  return { kind: "run", path: folder, adapter, saes: await Promise.all(saes) };
}

function lines(found: Description): string[] {
  if ("adapter" in found) return trainedLines(found);
  switch (found.kind) {
    case "model":
    case "dataset":
    case "tokens":
    case "capture":
      return dataLines(found);
    case "sae":
      return saeLines(found);
    case "checkpoint":
      return [
        `Checkpoint of step ${found.step}, ${bytes(found.bytes)}, written by Facet ${found.facet_version}`,
        ...tensorLines(found.tensors),
        "",
        "Next, to go on from it:",
        `  npm run facet -- train --resume ${found.path}`,
      ];
    case "run":
      return [
        `Run in ${found.path}`,
        ...found.checkpoints.map(({ name, step, fault }) => `  ${name}: ${fault ?? `step ${step}`}`),
        ...found.saes.map(({ name, sae, fault }) => `  sae/${name}: ${fault ?? sae?.architecture}`),
      ];
    case "activation_set":
      return [
        `Activation set, ${bytes(found.bytes)}`,
        ...setLines(found.manifest),
        "",
        "Next, to train on it:",
        `  npm run facet -- train --activations ${found.path} --out <folder> --d_sae <n>`,
      ];
    case "safetensors":
      return [
        `safetensors file, ${bytes(found.bytes)}`,
        ...tensorLines(found.tensors),
        ...Object.entries(found.metadata).map(([key, value]) => `  ${key}: ${value}`),
      ];
  }
}

function trainedLines({ path: folder, adapter, saes }: TrainedDescription): string[] {
  const rows = saes.map(({ label, architecture, d_in, d_sae, total_steps, checkpoints, sae, failure }) => [
    label === "" ? "-" : label,
    architecture,
    String(d_in),
    String(d_sae),
    `${checkpoints[0] ?? 0}/${total_steps}`,
    failure !== null ? `diverged at step ${failure.step}` : sae === null ? "unfinished" : "finished",
  ]);
  return [
    `Run in ${folder}, on ${adapter}`,
    ...table(["SAE", "architecture", "d_in", "d_sae", "saved step", "state"], rows),
    ...(saes.some(({ sae, failure }) => sae === null && failure === null)
      ? ["", "Next, to go on with it:", `  npm run facet -- train --resume ${folder}`]
      : []),
  ];
}

function saeLines({ format, architecture, config, parameters, tensors, notes }: SaeDescription): string[] {
  const { metadata, ...settings } = config;
  const facts = Object.entries({ ...settings, ...metadata }).filter(
    ([name, value]) => value !== null && name !== "extra",
  );
  return [
    `SAE: ${architecture} (${format}), ${parameters.toLocaleString("en")} parameters`,
    ...facts.map(([name, value]) => `  ${name.padEnd(28)} ${value}`),
    ...tensorLines(tensors),
    ...notes.map((note) => `Note: ${note}`),
  ];
}

/** What a set says of itself, but for the numbers of its mean and the names of its files. */
function setLines({ mean, shards, ...facts }: Record<string, unknown>): string[] {
  const length = (list: unknown) => (Array.isArray(list) ? list.length : 0);
  const rows = Object.entries(facts).flatMap(([name, value]) => {
    if (value === null) return [];
    return [`  ${name.padEnd(28)} ${typeof value === "object" ? JSON.stringify(value) : value}`];
  });
  if (length(shards) > 0) rows.push(`  ${"files of rows".padEnd(28)} ${length(shards)}`);
  return [...rows, `  ${"mean".padEnd(28)} [${length(mean)}]`];
}

function tensorLines(tensors: readonly { name: string; dtype: string; shape: number[] }[]): string[] {
  return tensors.map(({ name, dtype, shape }) => `  ${name.padEnd(28)} ${dtype} [${shape.join(", ")}]`);
}
