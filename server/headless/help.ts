import { type OptionMeta, trainingConfigOptions } from "../../gpu/sae/config.ts";
import { usage } from "../cli/usage.ts";

const groups: readonly OptionMeta["group"][] = [
  "Dictionary",
  "Sparsity",
  "Optimizer",
  "Data",
  "Dead features",
  "Logging",
];

/** The help, and for `train` every option of the configuration besides. */
export function helpFor(words: readonly string[]): string[] {
  return words[0] === "train" ? [usage, "", ...optionLines()] : [usage];
}

function optionLines(): string[] {
  const described = Object.entries(trainingConfigOptions.shape).map(([name, type]) => ({
    name,
    // Every option is described where it is declared.
    meta: type.meta() as unknown as OptionMeta,
    standard: type.safeParse(undefined),
  }));
  return [
    "Options of the configuration, with their defaults; some architectures have others.",
    ...groups.flatMap((group) => [
      "",
      group,
      ...described
        .filter(({ meta }) => meta.group === group)
        .flatMap(({ name, meta, standard }) => [
          `  --${name}${standard.success ? ` (${JSON.stringify(standard.data)})` : ""}`,
          `      ${meta.help}`,
        ]),
    ]),
  ];
}
