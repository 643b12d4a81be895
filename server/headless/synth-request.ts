import { type PresetName, presetNames, presetTraining, syntheticGenerators } from "../../gpu/data/presets.ts";
import { type SyntheticConfig, syntheticConfigSchema, syntheticFaults } from "../../gpu/data/synthetic.ts";
import { baseArchitectures } from "../../gpu/sae/architecture.ts";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import { UsageError } from "../cli/usage.ts";
import { type Fault, InvalidInputError } from "../errors.ts";
import { parseWithFaults } from "../faults.ts";
import { parseValue } from "./option-values.ts";
import { optionNames, trainingConfig, unknownOption } from "./training-options.ts";

/** Options of the command that are options neither of the generator nor of the training. */
const synthOptions = [
  "preset",
  "tokens",
  "train",
  "score",
  "out",
  "adapter",
  "generator_seed",
  "json",
  "help",
];

export interface SynthRequest {
  preset: PresetName;
  synthetic: SyntheticConfig;
  tokens: number | null;
  adapter: string | null;
  action:
    | { kind: "write"; out: string }
    | { kind: "train"; config: TrainingConfig; out: string | null }
    | { kind: "score"; sae: string };
}

/**
 * A command line of `synth`, checked. `--seed` is the training's with --train, else the generator's, which
 * `--generator_seed` always is. Throws `UsageError`, and `InvalidInputError` with everything that is wrong.
 */
export function synthRequest(options: ReadonlyMap<string, readonly string[]>): SynthRequest {
  const last = (name: string) => options.get(name)?.at(-1) ?? null;
  const preset = presetNames.find((name) => name === last("preset"));
  if (preset === undefined) {
    throw new UsageError(`synth needs --preset, which is one of ${presetNames.join(", ")}.`);
  }
  const training = options.has("train");
  if (training && options.has("score")) {
    throw new UsageError("synth either trains an SAE or scores one: give --train or --score.");
  }

  const generatorOptions = Object.keys(syntheticConfigSchema.shape);
  const generator: Record<string, unknown> = {};
  const trainer: Record<string, unknown> = {};
  const faults: Fault[] = [];
  for (const [name, values] of options) {
    const value = parseValue(values.at(-1)!);
    if (values.length > 1) {
      faults.push({ path: `--${name}`, message: `It is given ${values.length} times, but takes one value.` });
    } else if (name === "generator_seed") generator.seed = value;
    else if (synthOptions.includes(name)) continue;
    else if (name === "seed") (training ? trainer : generator).seed = value;
    else if (generatorOptions.includes(name)) generator[name] = value;
    else if (!optionNames.includes(name)) {
      const others = [...generatorOptions, ...synthOptions];
      faults.push({ path: `--${name}`, message: unknownOption(name, others) });
    } else if (training) trainer[name] = value;
    else faults.push({ path: `--${name}`, message: `${name} is an option of training; it needs --train.` });
  }
  const parsed = parseWithFaults(syntheticConfigSchema, { ...syntheticGenerators[preset], ...generator }, "");
  faults.push(...parsed.faults);
  if (parsed.data !== null) faults.push(...syntheticFaults(parsed.data));
  const synthetic = parsed.data ?? syntheticGenerators[preset];
  const config = training ? trainingOf(preset, synthetic, trainer, faults) : null;
  const tokens = tokenCount(last("tokens"));
  if (faults.length > 0) throw new InvalidInputError(faults);
  return { preset, synthetic, tokens, adapter: last("adapter"), action: action(last, tokens, config) };
}

function action(
  last: (name: string) => string | null,
  tokens: number | null,
  config: TrainingConfig | null,
): SynthRequest["action"] {
  const out = last("out");
  const score = last("score");
  if (config !== null) return { kind: "train", config, out };
  if (score !== null) return { kind: "score", sae: score };
  if (out === null || tokens === null) {
    throw new UsageError(
      "synth writes --tokens activations to --out, or does --train, or --score of an SAE.",
    );
  }
  return { kind: "write", out };
}

/** The preset's training with what is given over it; null with a fault more. */
function trainingOf(
  preset: PresetName,
  { d_in }: SyntheticConfig,
  given: Record<string, unknown>,
  faults: Fault[],
): TrainingConfig | null {
  const wanted = given.architecture ?? "topk";
  const architecture = baseArchitectures.find((name) => name === wanted);
  if (architecture === undefined) {
    const known = baseArchitectures.join(", ");
    faults.push({
      path: "architecture",
      message: `True features are recovered by ${known}; it is ${wanted}.`,
    });
    return null;
  }
  const budget = typeof given.training_tokens === "number" ? given.training_tokens : undefined;
  const { d_in: _own, ...recipe } = presetTraining(preset, architecture, budget);
  const checked = trainingConfig({ ...recipe, ...given }, { inputs: [d_in], target: null });
  faults.push(...checked.faults);
  return checked.config;
}

function tokenCount(given: string | null): number | null {
  if (given === null) return null;
  const count = Number(given);
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new UsageError(`--tokens must be a whole number above 0, not ${given}.`);
}
