import {
  type LanguageModel,
  type LanguageModelOptions,
  openLanguageModel,
} from "../../gpu/lm/language-model.ts";
import { ModelWeightsError, WeightRangeError } from "../../gpu/lm/load-weights.ts";
import { InvalidInputError } from "../errors.ts";
import { type ModelFolder, ModelFolderError } from "./model-folder.ts";

/**
 * Loads a folder's model onto the GPU.
 * @param signal A large model takes a while to load, which may be called off.
 * @throws ModelFolderError where the files lack weights, InvalidInputError where they do not go into `precision`, and
 *   the reason of `signal`
 */
export async function loadModel(
  { name, spec, weights }: ModelFolder,
  options: Omit<LanguageModelOptions, "spec" | "weights">,
  signal: AbortSignal,
): Promise<LanguageModel> {
  try {
    return await openLanguageModel({
      ...options,
      spec,
      weights: {
        ...weights,
        rows(...slice) {
          signal.throwIfAborted();
          return weights.rows(...slice);
        },
      },
    });
  } catch (error) {
    if (error instanceof WeightRangeError) {
      throw new InvalidInputError([{ path: "--precision", message: error.message }]);
    }
    if (!(error instanceof ModelWeightsError)) throw error;
    throw new ModelFolderError(
      `${name}: ${error.message} Copy or download the model again, config.json and weights together.`,
      error,
    );
  }
}
