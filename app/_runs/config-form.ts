import { type Architecture, architectures, baseOf, isBase } from "../../gpu/sae/architecture.ts";
import {
  architectureDefaults,
  type OptionName,
  type TrainingConfig,
  trainingConfigOptions,
} from "../../gpu/sae/config.ts";
import { optionApplies } from "../../gpu/sae/config-faults.ts";
import { type FormDefaults, optionValues, type Typed } from "./option-form.tsx";
import { type OptionField, type OptionValue, optionFields } from "./schema-fields.ts";

const allFields = optionFields(trainingConfigOptions);

/** Options that the source gives, whatever was typed or taken from another run. */
const givenBySource = ["d_in", "d_out", "n_hook_points"] as const;
export type GivenBySource = Partial<Record<(typeof givenBySource)[number], number | undefined>>;

/** Options with a place of their own in the form. */
const elsewhere: readonly string[] = ["architecture", "base_architecture", ...givenBySource];

/** A training configuration as typed so far; values may be anything, to be judged by the server. */
export interface TypedConfig {
  architecture: Architecture;
  /** Every option, whether it applies or not. */
  values: Readonly<Record<string, OptionValue | undefined>>;
  /** Values of the options that apply: what is sent. */
  sent: Readonly<Record<string, OptionValue | undefined>>;
  defaults: FormDefaults;
  /** Options to show in the form, without those that have another place. */
  fields: readonly OptionField[];
  /** Of those, the ones to keep in sight. */
  essential: readonly string[];
}

function architectureOf(typed: Typed): Architecture {
  return architectures.find((one) => one === typed.architecture) ?? "topk";
}

/** What an architecture and its base stand at, before a source is known. */
export function standingChoice(typed: Typed): Pick<TrainingConfig, "architecture" | "base_architecture"> {
  const architecture = architectureOf(typed);
  const given = architectureDefaults({ architecture, base_architecture: undefined }).base_architecture;
  const base = architectures.filter(isBase).find((one) => one === typed.base_architecture);
  return { architecture, base_architecture: base ?? given ?? "topk" };
}

/** Typed text over the source's defaults, over the architecture's, over the schema's. */
export function typedConfig(typed: Typed, bySource: FormDefaults, given: GivenBySource): TypedConfig {
  const choice = standingChoice(typed);
  const defaults: FormDefaults = { ...architectureDefaults(choice), ...bySource };
  const values = { ...optionValues(allFields, typed, defaults), ...choice, ...given };
  const applies = (key: string) => optionApplies(key as OptionName, values as unknown as TrainingConfig);
  const essential = essentialOptions(choice);
  return {
    architecture: choice.architecture,
    values,
    sent: Object.fromEntries(Object.entries(values).filter(([key]) => applies(key))),
    defaults,
    fields: allFields.filter(({ key }) => applies(key) && !elsewhere.includes(key)),
    essential,
  };
}

/** What was typed, for another architecture or base: what has an effect there stays, the rest is dropped. */
export function switched(
  typed: Typed,
  change: Partial<Pick<TrainingConfig, "architecture" | "base_architecture">>,
): Typed {
  const next = { ...typed, ...change };
  const choice = standingChoice(next);
  const values = { ...optionValues(allFields, next, architectureDefaults(choice)), ...choice };
  return Object.fromEntries(
    Object.entries(next).filter(
      ([key]) => key in change || optionApplies(key as OptionName, values as unknown as TrainingConfig),
    ),
  );
}

/** The options one always wants to see; six, two rows of the form. */
function essentialOptions(choice: Pick<TrainingConfig, "architecture" | "base_architecture">): string[] {
  const shared = ["lr", "training_tokens", "train_batch_size_tokens"];
  switch (baseOf(choice)) {
    case "standard":
    case "gated":
      return ["d_sae", "target_l0", "l1_coefficient", ...shared];
    case "jumprelu":
      return ["d_sae", "target_l0", "l0_coefficient", ...shared];
    case "matryoshka_batchtopk":
      return ["d_sae", "k", "matryoshka_widths", ...shared];
    case "topk":
    case "batchtopk":
      return ["d_sae", "k", ...shared, "seed"];
  }
}
