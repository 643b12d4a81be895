import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import type { SaeConfig } from "../../gpu/sae/sae.ts";
import { saeShapes } from "../../gpu/sae/sae-shapes.ts";
import { rowsFile } from "../artifacts/captured-manifest.ts";
import { openSae } from "./formats.ts";
import { parseSettings, readJsonFile } from "./json-file.ts";
import { asFormatError, SaeFormatError } from "./sae-format-error.ts";
import type { SaeFormat } from "./sae-source.ts";
import { openSafetensorsFile } from "./safetensors-file.ts";
import { elementsOf, type StoredTensor } from "./tensor-file.ts";

/** A tensor as its file stores it; dtypes by safetensors' names. */
export interface TensorDescription {
  name: string;
  dtype: string;
  shape: number[];
}

/** An SAE, by its headers and configuration; its weights are not read. */
export interface SaeDescription {
  kind: "sae";
  path: string;
  format: SaeFormat;
  /** What the format calls it. */
  architecture: string;
  config: SaeConfig;
  parameters: number;
  tensors: TensorDescription[];
  notes: string[];
}

/** A run's state at a step; its hashes are not checked. */
export interface CheckpointDescription {
  kind: "checkpoint";
  path: string;
  format_version: number;
  facet_version: string;
  step: number;
  /** The run's configuration, as written. */
  config: Record<string, unknown>;
  tensors: TensorDescription[];
  elements: number;
  bytes: number;
}

/** A run's folder: what can be gone on from, and what it left for use. */
export interface RunDescription {
  kind: "run";
  path: string;
  checkpoints: { name: string; step: number | null; fault: string | null }[];
  saes: { name: string; sae: SaeDescription | null; fault: string | null }[];
}

export interface ActivationSetDescription {
  kind: "activation_set";
  path: string;
  /** manifest.json, as written. */
  manifest: Record<string, unknown>;
  bytes: number;
}

/** Any other safetensors file, such as captured activations. */
export interface SafetensorsDescription {
  kind: "safetensors";
  path: string;
  tensors: TensorDescription[];
  metadata: Record<string, string>;
  elements: number;
  bytes: number;
}

export type Inspection =
  | SaeDescription
  | CheckpointDescription
  | RunDescription
  | ActivationSetDescription
  | SafetensorsDescription;

/**
 * What a folder or file of ours or a peer's holds, as plain JSON: an SAE of any layout, a checkpoint, a run, an
 * activation set, or a safetensors file. Throws `SaeFormatError`.
 */
export async function inspectFolder(target: string): Promise<Inspection> {
  const names = await namesIn(target);
  if (names === null) {
    const isSae = /^(sae_weights|sae|params)\.safetensors$/.test(path.basename(target));
    return target.endsWith(".safetensors") && !isSae ? inspectSafetensors(target) : inspectSae(target);
  }
  if (names.has("state.safetensors")) return inspectCheckpoint(target);
  if (names.has("activations.bin") || names.has(rowsFile(0))) return inspectActivationSet(target);
  if (names.has("checkpoints") || (names.has("sae") && !names.has("cfg.json"))) return inspectRun(target);
  return inspectSae(target);
}

/** Names in a folder; null for a file. */
async function namesIn(target: string): Promise<ReadonlySet<string> | null> {
  try {
    return (await stat(target)).isDirectory() ? new Set(await readdir(target)) : null;
  } catch (error) {
    throw asFormatError(target, error);
  }
}

async function inspectSae(target: string): Promise<SaeDescription> {
  const source = await openSae(target);
  try {
    const { format, architecture, config, stored, notes } = source;
    const shapes = [...saeShapes(config).values()];
    return {
      kind: "sae",
      path: target,
      format,
      architecture,
      config,
      parameters: shapes.reduce((sum, shape) => sum + elementsOf({ shape }), 0),
      tensors: stored.map(describe),
      notes: [...notes],
    };
  } finally {
    await source.close();
  }
}

function describe({ name, dtype, shape }: StoredTensor): TensorDescription {
  return { name, dtype, shape: [...shape] };
}

const checkpointSchema = z.looseObject({
  format_version: z.number().int(),
  facet_version: z.string(),
  step: z.number().int().min(0),
  config: z.record(z.string(), z.unknown()),
});

async function inspectCheckpoint(folder: string): Promise<CheckpointDescription> {
  const file = path.join(folder, "manifest.json");
  const { format_version, facet_version, step, config } = parseSettings(
    file,
    checkpointSchema,
    await readJsonFile(file),
  );
  const { tensors, elements, bytes } = await inspectSafetensors(path.join(folder, "state.safetensors"));
  return {
    kind: "checkpoint",
    path: folder,
    format_version,
    facet_version,
    step,
    config,
    tensors,
    elements,
    bytes,
  };
}

async function inspectSafetensors(file: string): Promise<SafetensorsDescription> {
  const opened = await openSafetensorsFile(file);
  try {
    const stored = [...opened.tensors.values()];
    return {
      kind: "safetensors",
      path: file,
      tensors: stored.map(describe),
      metadata: Object.fromEntries(opened.metadata),
      elements: stored.reduce((sum, tensor) => sum + elementsOf(tensor), 0),
      bytes: opened.bytes,
    };
  } finally {
    await opened.close();
  }
}

async function inspectActivationSet(folder: string): Promise<ActivationSetDescription> {
  const manifest = await readJsonFile(path.join(folder, "manifest.json"));
  const names = (await readdir(folder)).filter((name) => name.endsWith(".bin"));
  const sizes = await Promise.all(names.map(async (name) => (await stat(path.join(folder, name))).size));
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  return { kind: "activation_set", path: folder, manifest, bytes };
}

async function inspectRun(folder: string): Promise<RunDescription> {
  const within = async (name: string) =>
    [...((await namesIn(path.join(folder, name)).catch(() => null)) ?? [])].filter(
      (one) => !one.startsWith("."),
    );
  const checkpoints = (await within("checkpoints")).toSorted(byNumber).map(async (name) => {
    const found = await settle(inspectCheckpoint(path.join(folder, "checkpoints", name)));
    return { name, step: found.value?.step ?? null, fault: found.fault };
  });
  const saes = (await within("sae")).toSorted().map(async (name) => {
    const found = await settle(inspectSae(path.join(folder, "sae", name)));
    return { name, sae: found.value, fault: found.fault };
  });
  return {
    kind: "run",
    path: folder,
    checkpoints: await Promise.all(checkpoints),
    saes: await Promise.all(saes),
  };
}

/** "step_9" before "step_10". */
function byNumber(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

/** A part that is damaged is told of beside those that are not. */
async function settle<T>(part: Promise<T>): Promise<{ value: T | null; fault: string | null }> {
  try {
    return { value: await part, fault: null };
  } catch (error) {
    if (error instanceof SaeFormatError) return { value: null, fault: error.message };
    throw error;
  }
}
