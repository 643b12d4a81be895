import type { Gpu } from "../../gpu/device/gpu.ts";
import { describeModel } from "../../gpu/lm/families/index.ts";
import { type LanguageModel, openLanguageModel } from "../../gpu/lm/language-model.ts";
import type { WeightSource } from "../../gpu/lm/weights.ts";
import type { HuggingFaceModel } from "../reference/lm/hugging-face.ts";
import { shakespeareModel } from "../reference/lm/shakespeare.ts";

/** A model's tensors in memory, as `openLanguageModel` reads them. */
export function weightsOf({ tensors }: HuggingFaceModel): WeightSource {
  const tensorOf = (name: string) => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new Error(`There is no tensor ${name}.`);
    return tensor;
  };
  return {
    names: new Set(tensors.keys()),
    shape: (name) => tensorOf(name).shape,
    rows: async (name, first, count) => {
      const { shape, data } = tensorOf(name);
      if (first < 0 || first + count > shape[0]!) throw new RangeError(`${name} has not rows ${first} on.`);
      const width = shape.slice(1).reduce((product, extent) => product * extent, 1);
      return Float32Array.from(data.subarray(first * width, (first + count) * width));
    },
  };
}

/** ‖actual − expected‖ / ‖expected‖. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) throw new Error(`${actual.length} numbers for ${expected.length}.`);
  let [difference, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}

/** Tokens of a context of the trained model. */
export const shakespeareLength = 128;

/** The trained GPT-2, for hook points, or for logits where there are none; or to generate. */
export async function openShakespeare(
  gpu: Gpu,
  hooks: string[],
  n_sequences: number,
  cached = false,
): Promise<LanguageModel> {
  const model = await shakespeareModel();
  return openLanguageModel({
    gpu,
    spec: describeModel(model.config),
    weights: weightsOf(model),
    hooks,
    n_sequences,
    length: shakespeareLength,
    logits: hooks.length === 0,
    cached,
  });
}
