import { readFile } from "node:fs/promises";
import {
  architectureDefaults,
  type TrainingConfig,
  type TrainingConfigInput,
  trainingConfigOptions,
} from "../../gpu/sae/config.ts";
import { configFaults } from "../../gpu/sae/config-faults.ts";
import type { Fault } from "../errors.ts";
import { parseWithFaults } from "../faults.ts";
import { nearest } from "./nearest.ts";

export const optionNames = Object.keys(trainingConfigOptions.shape);

/** Widths of the hook points that the given activations are of, in order; the target's apart. */
export interface GivenWidths {
  inputs: readonly number[];
  target: number | null;
}

/** What the file of a configuration says, unchecked; a fault instead when it is not a JSON object. */
export async function readConfigFile(
  file: string,
): Promise<{ options: Record<string, unknown>; faults: Fault[] }> {
  const fault = (message: string) => ({ options: {}, faults: [{ path: file, message }] });
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch {
    return fault("There is no such file, or it may not be read.");
  }
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) {
      return { options: parsed as Record<string, unknown>, faults: [] };
    }
    return fault("A configuration is a JSON object of options.");
  } catch (error) {
    return fault(`This is not JSON: ${error instanceof Error ? error.message : error}`);
  }
}

/**
 * A whole configuration of options as given, or everything that is wrong with them: names that are no option's, values
 * out of bounds, contradictions between options, and with the activations. Widths that are not given are those of the
 * activations; `widths` is null when these could not be read, which is a fault of theirs.
 */
export function trainingConfig(
  given: Record<string, unknown>,
  widths: GivenWidths | null,
): { config: TrainingConfig; faults: [] } | { config: null; faults: Fault[] } {
  const faults: Fault[] = [];
  const known: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    if (optionNames.includes(name)) known[name] = value;
    else faults.push({ path: name, message: unknownOption(name) });
  }
  const measured = widths === null ? { d_in: 1 } : widthOptions(known, widths, faults);
  const stated = Object.fromEntries(
    Object.entries(known).filter(
      ([name, value]) => value !== undefined && !(value === null && name in measured),
    ),
  );
  const input = { ...architectureDefaults(known as TrainingConfigInput), ...measured, ...stated };
  const parsed = parseWithFaults(trainingConfigOptions, input, "");
  faults.push(...parsed.faults);
  if (parsed.data !== null && widths !== null) faults.push(...configFaults(parsed.data));
  if (parsed.data === null || faults.length > 0) return { config: null, faults: distinct(faults) };
  return { config: parsed.data, faults: [] };
}

/** A sentence about a name that is no option's. */
export function unknownOption(name: string, others: readonly string[] = []): string {
  const near = nearest(name, [...optionNames, ...others]);
  return `There is no option ${name}${near === null ? "." : `; did you mean ${near}?`}`;
}

/** Widths that the activations give, and a fault for each given one that they contradict. */
function widthOptions(
  given: Record<string, unknown>,
  { inputs, target }: GivenWidths,
  faults: Fault[],
): Record<string, number> {
  const architecture = String(given.architecture ?? "topk");
  const crosscoder = architecture === "crosscoder";
  const transcoder = architecture === "transcoder" || architecture === "skip_transcoder";
  const measured: Record<string, number> = { d_in: inputs[0] ?? 1 };
  const other = inputs.find((width) => width !== inputs[0]);
  if (crosscoder) {
    measured.n_hook_points = inputs.length;
    if (other !== undefined) {
      faults.push({
        path: "activations",
        message: `A crosscoder's hook points have one width, but these have widths ${inputs.join(", ")}.`,
      });
    }
  } else if (inputs.length > 1) {
    faults.push({
      path: "activations",
      message: `${inputs.length} hook points are given as activations, but ${architecture} reads one; a crosscoder reads several.`,
    });
  }
  if (transcoder && target !== null) measured.d_out = target;
  if (transcoder && target === null) {
    faults.push({
      path: "targets",
      message: `A ${architecture} predicts another hook point, whose activations are not given; name them with --targets, or with --target-hook where --hooks names those that it reads.`,
    });
  }
  if (!transcoder && target !== null) {
    faults.push({
      path: "targets",
      message: `Targets are given, but ${architecture} reconstructs its own input; a transcoder or skip_transcoder has targets.`,
    });
  }
  const where = {
    d_in: "the activations have width",
    d_out: "the targets have width",
    n_hook_points: "activations are given of",
  };
  for (const [name, width] of Object.entries(measured)) {
    const stated = given[name];
    // What is no number is a fault of its own.
    if (typeof stated !== "number" || stated === width) continue;
    const words = where[name as keyof typeof where];
    const unit = name === "n_hook_points" ? ` hook point${width === 1 ? "" : "s"}` : "";
    faults.push({
      path: name,
      message: `${name} is ${stated}, but ${words} ${width}${unit}. Leave ${name} out to take it from them.`,
    });
  }
  return measured;
}

/** One fault each, where two checks find the same. */
function distinct(faults: Fault[]): Fault[] {
  return faults.filter(
    (one, index) =>
      faults.findIndex(({ path, message }) => path === one.path && message === one.message) === index,
  );
}
