import type { Fault } from "../errors.ts";
import { parseValue } from "./option-values.ts";
import { optionNames, unknownOption } from "./training-options.ts";

/** Options that all SAEs of one pass over the data must share: what they read, and when they save. */
const shared = [
  "d_in",
  "d_out",
  "n_hook_points",
  "train_batch_size_tokens",
  "training_tokens",
  "normalize_activations",
  "checkpoint_every_steps",
];

/** Most SAEs of one pass. */
const mostVariants = 256;

/** One SAE of a sweep: its name, which is also its folder's, and the options that make it differ. */
export interface Variant {
  label: string;
  options: Record<string, unknown>;
}

/**
 * Every combination of the values of `--sweep k=8,16 --sweep seed=1,2`, the first option varying slowest; without any,
 * the one SAE that has no label.
 */
export function sweepVariants(given: readonly string[]): { variants: Variant[]; faults: Fault[] } {
  const faults: Fault[] = [];
  let variants: Variant[] = [{ label: "", options: {} }];
  const seen = new Set<string>();
  const fault = (message: string) => faults.push({ path: "sweep", message });
  for (const text of given) {
    const at = text.indexOf("=");
    const name = text.slice(0, at);
    const values = text.slice(at + 1).split(",");
    if (at < 1 || values.some((value) => value === "")) {
      fault(`A sweep is an option and its values, as in k=8,16,32; this is ${text}.`);
    } else if (!optionNames.includes(name)) fault(unknownOption(name));
    else if (shared.includes(name)) {
      fault(
        `${name} cannot be swept: the SAEs of a sweep are trained in one pass over the same batches. Start a run for each value.`,
      );
    } else if (seen.has(name)) fault(`${name} is swept twice; give all its values at once.`);
    else if (new Set(values).size < values.length) fault(`${text} names a value twice.`);
    else {
      variants = variants.flatMap(({ label, options }) =>
        values.map((value) => ({
          label: [label, `${name}=${value}`].filter((part) => part !== "").join(","),
          options: { ...options, [name]: parseValue(value) },
        })),
      );
    }
    seen.add(name);
  }
  if (variants.length > mostVariants) {
    fault(`The sweep is of ${variants.length} SAEs; ${mostVariants} is the most.`);
  }
  return { variants, faults };
}
