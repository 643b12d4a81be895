import type { Fault } from "../errors.ts";
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
type TrainOption = (typeof trainOptions)[number];

/** What the SAE's metadata is to say, as far as it is given. */
export interface GivenMetadata {
  model_name: string | null;
  hook_name: string | null;
  hook_name_out: string | null;
  dataset_name: string | null;
}

/** A command line of `train`, taken apart and not yet checked against any file. */
export interface TrainRequest {
  config: string | null;
  /** Options of the configuration that were given beside its file. */
  overrides: Record<string, unknown>;
  data: DataLocations;
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
  const several: readonly string[] = ["activations", "sweep"];
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
  return {
    request: {
      config: last("config"),
      overrides,
      data: {
        activations: options.get("activations") ?? [],
        targets: last("targets"),
        tensor: last("tensor"),
        target_tensor: last("target-tensor"),
      },
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
