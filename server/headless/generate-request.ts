import type { Precision } from "../../gpu/lm/precision.ts";
import { checkSampling } from "../../gpu/lm/sampling.ts";
import { type Fault, InvalidInputError } from "../errors.ts";
import { precisionOf } from "./capture-request.ts";

export const generateOptions = [
  "model",
  "prompt",
  "tokens",
  "max-new-tokens",
  "temperature",
  "top-k",
  "top-p",
  "seed",
  "precision",
  "adapter",
] as const;
type GenerateOption = (typeof generateOptions)[number];

export interface GenerateRequest {
  /** Folder of the model. */
  model: string;
  /** A text, or token ids. */
  prompt: string | number[];
  /** Null: as many as usual, or as the model has room for. */
  max_new_tokens: number | null;
  temperature: number;
  top_k: number | null;
  top_p: number | null;
  seed: number;
  precision: Precision;
  adapter: string | null;
}

/** A command line of `model generate`, checked. Throws `InvalidInputError` with everything that is wrong. */
export function generateRequest(options: ReadonlyMap<string, readonly string[]>): GenerateRequest {
  const last = (name: GenerateOption) => options.get(name)?.at(-1) ?? null;
  const faults: Fault[] = [];
  const model = last("model") ?? "";
  if (model.trim() === "") faults.push({ path: "--model", message: "Give the folder of a model." });
  const number = (name: GenerateOption, what: string, right: (value: number) => boolean): number | null => {
    const given = last(name);
    if (given === null) return null;
    const value = given.trim() === "" ? Number.NaN : Number(given);
    if (right(value)) return value;
    faults.push({ path: `--${name}`, message: `It is ${what}, not ${given}.` });
    return null;
  };
  const positive = (value: number) => Number.isSafeInteger(value) && value > 0;
  const request: GenerateRequest = {
    model,
    prompt: promptOf(last("prompt"), last("tokens"), faults),
    max_new_tokens: number("max-new-tokens", "a whole number above 0", positive),
    temperature: number("temperature", "a number from 0 on", (temperature) => allowed({ temperature })) ?? 1,
    top_k: number("top-k", "a whole number above 0", (top_k) => allowed({ top_k })),
    top_p: number("top-p", "a number above 0 and at most 1", (top_p) => allowed({ top_p })),
    seed:
      number("seed", "a whole number from 0 to 4294967295", (seed) => {
        return Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32;
      }) ?? 0,
    precision: precisionOf(last("precision"), faults),
    adapter: last("adapter"),
  };
  if (faults.length > 0) throw new InvalidInputError(faults);
  return request;
}

function promptOf(text: string | null, tokens: string | null, faults: Fault[]): string | number[] {
  if ((text === null) === (tokens === null)) {
    faults.push({ path: "--prompt", message: "Give the text to go on with, or its token ids in --tokens." });
    return "";
  }
  if (text !== null) {
    if (text === "") faults.push({ path: "--prompt", message: "It is empty." });
    return text;
  }
  const words = tokens!.split(",").map((word) => word.trim());
  const wrong = words.find((word) => !/^\d{1,9}$/.test(word));
  if (wrong !== undefined) {
    faults.push({
      path: "--tokens",
      message: `It is token ids with commas between them: 5,12,7; not ${wrong}.`,
    });
  }
  return words.map(Number);
}

function allowed(options: Parameters<typeof checkSampling>[0]): boolean {
  try {
    checkSampling(options);
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}
