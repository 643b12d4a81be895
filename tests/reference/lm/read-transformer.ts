import { type HuggingFaceModel, textOf } from "./hugging-face.ts";
import { readGpt2, readGptNeoX, readPhi } from "./layer-norm-families.ts";
import { readRmsNormFamily, rmsNormFamilies } from "./rms-norm-families.ts";
import type { Transformer } from "./transformer.ts";

const layerNormFamilies: Readonly<Record<string, (model: HuggingFaceModel) => Transformer>> = {
  gpt2: readGpt2,
  gpt_neox: readGptNeoX,
  phi: readPhi,
};

/** The model in float64, by its `model_type`. */
export function readTransformer(model: HuggingFaceModel): Transformer {
  const family = textOf(model.config, "model_type");
  const read = layerNormFamilies[family];
  if (read !== undefined) return read(model);
  const traits = rmsNormFamilies[family];
  if (traits === undefined) throw new Error(`The reference does not know the family ${family}.`);
  return readRmsNormFamily(model, traits);
}
