import type { Fault } from "../errors.ts";
import { hookNames } from "./hook-names.ts";
import type { LiveLocations } from "./live-data.ts";
import { parseValue } from "./option-values.ts";
import type { DataLocations } from "./training-data.ts";
import { optionNames, unknownOption } from "./training-options.ts";

/** Options of the command that are not options of the configuration. */
export const trainOptions = [
  "config",
  "activations",
  "targets",
  "tensor",
  "target-tensor",
  "model",
  "tokens",
  "hooks",
  "target-hook",
  "eval-every",
  "eval-sequences",
  "no-shuffle",
  "init",
  "out",
  "resume",
  "adapter",
  "sweep",
  "model-name",
  "hook-name",
  "hook-name-out",
  "dataset-name",
  "json",
  "help",
] as const;
const liveOptions = ["model", "tokens", "hooks", "target-hook"] as const;
type TrainOption = (typeof trainOptions)[number];

/** What the SAE's metadata is to say, as far as it is given. */
export interface GivenMetadata {
  model_name: string | null;
  hook_name: string | null;
  hook_name_out: string | null;
  dataset_name: string | null;
}

/** How often and on how much SAEs are to be measured within their model, as far as that is given. */
export interface GivenEvaluation {
  /** Steps between evaluations. */
  every_steps: number | null;
  /** Held-out sequences. */
  n_sequences: number | null;
}

/** A command line of `train`, taken apart and not yet checked against any file. */
export interface TrainRequest {
  config: string | null;
  /** Options of the configuration that were given beside its file. */
  overrides: Record<string, unknown>;
  data: DataLocations;
  /** A language model to train on in their place. */
  live: LiveLocations | null;
  /** Of live runs alone. */
  evaluation: GivenEvaluation;
  shuffle: boolean;
  init: string | null;
  out: string | null;
  resume: string | null;
  adapter: string | null;
  sweep: readonly string[];
  metadata: GivenMetadata;
}

/** Every option, and a fault for each that there is none of, or that is given twice though it takes one value. */
export function trainRequest(options: ReadonlyMap<string, readonly string[]>): {
  request: TrainRequest;
  faults: Fault[];
} {
  const faults: Fault[] = [];
  const overrides: Record<string, unknown> = {};
  const several: readonly string[] = ["activations", "sweep", "hooks"];
  for (const [name, values] of options) {
    const ofCommand = (trainOptions as readonly string[]).includes(name);
    if (!ofCommand && !optionNames.includes(name)) {
      faults.push({ path: `--${name}`, message: unknownOption(name, trainOptions) });
      continue;
    }
    if (values.length > 1 && !several.includes(name)) {
      faults.push({ path: `--${name}`, message: `It is given ${values.length} times, but takes one value.` });
    }
    if (!ofCommand) overrides[name] = parseValue(values.at(-1)!);
  }
  const last = (name: TrainOption) => options.get(name)?.at(-1) ?? null;
  const ofFolder = namesSets(options);
  for (const name of ["eval-every", "eval-sequences"] as const) {
    if (!options.has(name) || !ofFolder) continue;
    const message =
      "It is of training on a language model (--model), within which SAEs are measured; leave it out, and see facet eval.";
    faults.push({ path: `--${name}`, message });
  }
  return {
    request: {
      config: last("config"),
      overrides,
      data: {
        activations: options.get("activations") ?? [],
        targets: last("targets"),
        tensor: last("tensor"),
        target_tensor: last("target-tensor"),
        hooks: ofFolder ? hookNames(options.get("hooks") ?? [], faults) : [],
        target_hook: ofFolder ? last("target-hook") : null,
      },
      live: liveLocations(options, faults),
      evaluation: evaluationRequest(options, faults),
      shuffle: !options.has("no-shuffle"),
      init: last("init"),
      out: last("out"),
      resume: last("resume"),
      adapter: last("adapter"),
      sweep: options.get("sweep") ?? [],
      metadata: {
        model_name: last("model-name"),
        hook_name: last("hook-name"),
        hook_name_out: last("hook-name-out"),
        dataset_name: last("dataset-name"),
      },
    },
    faults,
  };
}

/** Whether hook points are those of a capture's folder rather than of a model. */
function namesSets(options: ReadonlyMap<string, readonly string[]>): boolean {
  return options.has("activations") && !options.has("model") && !options.has("tokens");
}

/** Null where no model is named, nor anything that belongs to one. */
function liveLocations(
  options: ReadonlyMap<string, readonly string[]>,
  faults: Fault[],
): LiveLocations | null {
  const given = liveOptions.filter((name) => options.has(name));
  if (given.length === 0 || namesSets(options)) return null;
  const last = (name: TrainOption) => options.get(name)?.at(-1) ?? "";
  const hooks = hookNames(options.get("hooks") ?? [], faults);
  const needed: Partial<Record<TrainOption, string>> = {
    model: "Give the folder of the language model to train on.",
    tokens: "Give the folder of the tokens that the model is to read, as tokenize makes it.",
    hooks: "Name the hook points to train on, with commas between them: blocks.6.hook_resid_post.",
  };
  for (const [name, message] of Object.entries(needed)) {
    const there = name === "hooks" ? hooks.length > 0 : last(name as TrainOption).trim() !== "";
    if (!there) faults.push({ path: `--${name}`, message });
  }
  for (const name of ["activations", "targets", "tensor", "target-tensor", "no-shuffle"] as const) {
    if (!options.has(name)) continue;
    const message =
      name === "no-shuffle"
        ? "What a model computes while training always comes shuffled; capture it to files to train in order."
        : "It belongs to activations on disk, but a language model is given; leave one of the two out.";
    faults.push({ path: `--${name}`, message });
  }
  return {
    model: last("model"),
    tokens: last("tokens"),
    hooks,
    target_hook: options.get("target-hook")?.at(-1) ?? null,
  };
}

function evaluationRequest(
  options: ReadonlyMap<string, readonly string[]>,
  faults: Fault[],
): GivenEvaluation {
  const count = (name: "eval-every" | "eval-sequences") => {
    const given = options.get(name)?.at(-1);
    if (given === undefined) return null;
    const value = Number(given);
    if (Number.isSafeInteger(value) && value > 0) return value;
    faults.push({ path: `--${name}`, message: `It is a whole number above 0, not ${given}.` });
    return null;
  };
  return { every_steps: count("eval-every"), n_sequences: count("eval-sequences") };
}
