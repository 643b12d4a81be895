import path from "node:path";
import { totalSteps } from "../../gpu/sae/config.ts";
import type { LocalInvocation } from "../cli/commands.ts";
import { bytes, table } from "../cli/format.ts";
import { type Inspection, inspectFolder, type SaeDescription } from "../formats/inspect.ts";
import { exitCode } from "./exit-code.ts";
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

/** `facet inspect`: what a folder or file holds, by its headers; weights are not read. */
export async function inspect({ output, words, json }: LocalInvocation): Promise<number> {
  const target = words[0]!;
  const found = hasRunRecord(target) ? await inspectTrained(target) : await inspectFolder(target);
  if (json) output.out(JSON.stringify(found));
  else for (const line of lines(found)) output.out(line);
  return exitCode.done;
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

function lines(found: Inspection | TrainedDescription): string[] {
  if ("adapter" in found) return trainedLines(found);
  switch (found.kind) {
    case "sae":
      return saeLines(found);
    case "checkpoint":
      return [
        `Checkpoint of step ${found.step}, ${bytes(found.bytes)}, written by Facet ${found.facet_version}`,
        ...tensorLines(found.tensors),
      ];
    case "run":
      return [
        `Run in ${found.path}`,
        ...found.checkpoints.map(({ name, step, fault }) => `  ${name}: ${fault ?? `step ${step}`}`),
        ...found.saes.map(({ name, sae, fault }) => `  sae/${name}: ${fault ?? sae?.architecture}`),
      ];
    case "activation_set":
      return [`Activation set, ${bytes(found.bytes)}`, ...setLines(found.manifest)];
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
