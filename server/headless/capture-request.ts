import { type Precision, precisions } from "../../gpu/lm/precision.ts";
import { type Fault, InvalidInputError } from "../errors.ts";
import { hookNames } from "./hook-names.ts";

/** Of the capture of a token set. */
export const captureSetOptions = [
  "dtype",
  "exclude-tokens",
  "outlier-norm",
  "shard-tokens",
  "estimate",
] as const;

export const captureOptions = [
  "model",
  "tokens",
  "hooks",
  "out",
  "batch-size",
  "precision",
  "adapter",
  ...captureSetOptions,
] as const;
type CaptureOption = (typeof captureOptions)[number];

export interface CaptureRequest {
  /** Folder of the model. */
  model: string;
  /** File of token ids, or folder of a token set. */
  tokens: string;
  /** Names of hook points, in the order that they are to be written in; there is one, and none is there twice. */
  hooks: string[];
  /** File to write, or folder of the sets. */
  out: string;
  /** Sequences that go through the model together; null: as many as suit their length. */
  batch_size: number | null;
  /** Of the model's weights. */
  precision: Precision;
  adapter: string | null;
}

const needed: readonly { option: CaptureOption; message: string }[] = [
  { option: "model", message: "Give the folder of a model, with its config.json and model.safetensors." },
  {
    option: "tokens",
    message:
      "Give a folder of tokens as facet tokenize makes it, or a safetensors file of token ids, with a tensor input_ids [n_sequences, length].",
  },
  {
    option: "hooks",
    message: "Name the hook points to keep, with commas between them: blocks.6.hook_resid_post.",
  },
  {
    option: "out",
    message:
      "Give the folder to keep activation sets in, or, for a file of token ids, the safetensors file to write.",
  },
];

/** A command line of `capture`, checked, but for what belongs to sets alone. Throws `InvalidInputError` with everything that is wrong. */
export function captureRequest(options: ReadonlyMap<string, readonly string[]>): CaptureRequest {
  const last = (name: CaptureOption) => options.get(name)?.at(-1) ?? null;
  const faults: Fault[] = needed
    .filter(({ option }) => (last(option) ?? "").trim() === "")
    .map(({ option, message }) => ({ path: `--${option}`, message }));
  const hooks = hookNames(options.get("hooks") ?? [], faults);
  if (hooks.length === 0 && faults.every((fault) => fault.path !== "--hooks")) {
    faults.push({ path: "--hooks", message: "It names no hook point; name one." });
  }
  const batch_size = batchSize(last("batch-size"), faults);
  const precision = precisionOf(last("precision"), faults);
  if (faults.length > 0) throw new InvalidInputError(faults);
  return {
    model: last("model") ?? "",
    tokens: last("tokens") ?? "",
    hooks,
    out: last("out") ?? "",
    batch_size,
    precision,
    adapter: last("adapter"),
  };
}

/** The value of `--precision`; f32 where it is not given, or wrong. */
export function precisionOf(given: string | null, faults: Fault[]): Precision {
  const found = given === null ? "f32" : precisions.find((one) => one === given);
  if (found !== undefined) return found;
  faults.push({ path: "--precision", message: `It is ${precisions.join(", ")}, not ${given}.` });
  return "f32";
}

function batchSize(given: string | null, faults: Fault[]): number | null {
  if (given === null) return null;
  const count = Number(given);
  if (Number.isSafeInteger(count) && count > 0) return count;
  faults.push({
    path: "--batch-size",
    message: `It is the number of sequences that go through the model together, a whole number above 0, not ${given}.`,
  });
  return null;
}
