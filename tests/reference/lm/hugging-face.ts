import type { Linear, Norm } from "./arithmetic.ts";

/** Models as Hugging Face stores them: `config.json` and named tensors. What is missing or misshapen throws. */

export interface Tensor {
  shape: readonly number[];
  data: Float32Array | Float64Array;
}

export type Config = Readonly<Record<string, unknown>>;

export interface HuggingFaceModel {
  /** The object of `config.json`. */
  config: Config;
  /** By Hugging Face's names. */
  tensors: ReadonlyMap<string, Tensor>;
}

/** A number of the configuration; null and absent give the fallback, or throw where there is none. */
export function numberOf(config: Config, key: string, fallback?: number): number {
  const value = config[key] ?? fallback;
  if (typeof value !== "number") throw new Error(`config.json has no number ${key}.`);
  return value;
}

/** A number, or null where the configuration says null or nothing. */
export function optionalNumber(config: Config, key: string): number | null {
  return config[key] === undefined || config[key] === null ? null : numberOf(config, key);
}

export function flagOf(config: Config, key: string, fallback: boolean): boolean {
  const value = config[key] ?? fallback;
  if (typeof value !== "boolean") throw new Error(`${key} of config.json is neither true nor false.`);
  return value;
}

export function textOf(config: Config, key: string, fallback?: string): string {
  const value = config[key] ?? fallback;
  if (typeof value !== "string") throw new Error(`config.json has no text ${key}.`);
  return value;
}

/** An object within the configuration, or null. */
export function sectionOf(config: Config, key: string): Config | null {
  const value = config[key] ?? null;
  if (typeof value !== "object" || Array.isArray(value)) throw new Error(`${key} is not an object.`);
  return value as Config | null;
}

/** The tensors of a model, converted to float64 and checked against the shapes expected. */
export class Checkpoint {
  readonly #tensors: ReadonlyMap<string, Tensor>;
  readonly #prefix: string;

  /** @param prefix what names begin with in a model with a head ("transformer."); files of a bare model leave it out. */
  constructor(tensors: ReadonlyMap<string, Tensor>, prefix: string) {
    this.#tensors = tensors;
    this.#prefix = prefix;
  }

  /** Elements of the tensor of that name and shape. */
  values(name: string, ...shape: number[]): Float64Array {
    const tensor = this.#tensors.get(this.#prefix + name) ?? this.#tensors.get(name);
    if (tensor === undefined) throw new Error(`There is no tensor ${this.#prefix}${name}.`);
    const count = shape.reduce((product, extent) => product * extent, 1);
    if (String(tensor.shape) !== String(shape) || tensor.data.length !== count) {
      throw new Error(`Tensor ${name} has the shape [${tensor.shape}], not [${shape}].`);
    }
    return Float64Array.from(tensor.data);
  }

  /** A torch Linear: `name.weight` [outputs, inputs] and, if asked for, `name.bias`. */
  linear(name: string, inputs: number, outputs: number, bias: boolean): Linear {
    return {
      weight: this.values(`${name}.weight`, outputs, inputs),
      bias: bias ? this.values(`${name}.bias`, outputs) : null,
      inputs,
      outputs,
    };
  }

  /** GPT-2's Conv1D: `name.weight` is [inputs, outputs]. */
  conv1d(name: string, inputs: number, outputs: number): Linear {
    const stored = this.values(`${name}.weight`, inputs, outputs);
    const weight = new Float64Array(stored.length);
    for (let i = 0; i < inputs; i++) {
      for (let o = 0; o < outputs; o++) weight[o * inputs + i] = stored[i * outputs + o]!;
    }
    return { weight, bias: this.values(`${name}.bias`, outputs), inputs, outputs };
  }

  layerNorm(name: string, width: number, epsilon: number): Norm {
    const weight = this.values(`${name}.weight`, width);
    return { kind: "layer", weight, bias: this.values(`${name}.bias`, width), epsilon };
  }

  /** @param offset added to the stored weight: 1 for Gemma, which stores what differs from 1. */
  rmsNorm(name: string, width: number, epsilon: number, offset = 0): Norm {
    const weight = this.values(`${name}.weight`, width).map((value) => value + offset);
    return { kind: "rms", weight, bias: null, epsilon };
  }
}

/** `count` of a fused projection's outputs: the one that stands at `place(i)` becomes output i. */
export function selectOutputs(from: Linear, count: number, place: (output: number) => number): Linear {
  const { inputs, bias } = from;
  const weight = new Float64Array(count * inputs);
  for (let o = 0; o < count; o++) {
    const at = place(o) * inputs;
    weight.set(from.weight.subarray(at, at + inputs), o * inputs);
  }
  const selected = bias === null ? null : Float64Array.from({ length: count }, (_, o) => bias[place(o)]!);
  return { weight, bias: selected, inputs, outputs: count };
}
