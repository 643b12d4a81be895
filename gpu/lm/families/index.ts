import { z } from "zod";
import { type ModelSpec, UnsupportedModelError } from "../model-spec.ts";
import { parse } from "./config.ts";
import type { Family, FamilyWeights } from "./family.ts";
import { gemma2 } from "./gemma2.ts";
import { gemma3 } from "./gemma3.ts";
import { gptNeox } from "./gpt-neox.ts";
import { gpt2 } from "./gpt2.ts";
import { llama } from "./llama.ts";
import { mistral } from "./mistral.ts";
import { phi } from "./phi.ts";
import { phi3 } from "./phi3.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";

const families = {
  gpt2,
  gpt_neox: gptNeox,
  llama,
  mistral,
  qwen2,
  qwen3,
  gemma2,
  gemma3,
  phi,
  phi3,
} as const satisfies Record<string, Family>;

export type FamilyName = keyof typeof families;

/** Hugging Face's `model_type`s that `describeModel` reads. */
export const supportedModelTypes: readonly string[] = Object.values(families).flatMap(
  ({ model_types }) => model_types,
);

const typed = z.looseObject({ model_type: z.string().min(1) });

/** Fields that only models with a mixture of experts have. */
const expertFields = ["num_local_experts", "num_experts", "n_routed_experts", "moe_intermediate_size"];

/**
 * The model that a parsed Hugging Face config.json describes.
 * @throws UnsupportedModelError for types and options that are not built, ModelConfigError where it makes no sense.
 */
export function describeModel(config: unknown): ModelSpec {
  const fields = parse(typed, config);
  const { model_type } = fields;
  const experts = expertFields.find((name) => fields[name] != null);
  if (experts !== undefined) {
    throw new UnsupportedModelError(model_type, `mixtures of experts (${experts}) are not built.`);
  }
  if (fields.quantization_config != null) {
    throw new UnsupportedModelError(
      model_type,
      "its weights are quantised (quantization_config); only F32, F16 and BF16 weights are read.",
    );
  }
  if (fields.is_encoder_decoder === true) {
    throw new UnsupportedModelError(model_type, "encoder-decoders are not built.");
  }
  for (const [name, family] of Object.entries(families) as [FamilyName, Family][]) {
    if (!family.model_types.includes(model_type)) continue;
    return { family: name, ...family.describe(config, model_type) };
  }
  throw new UnsupportedModelError(
    model_type,
    `there is no family of that type. Facet runs ${supportedModelTypes.join(", ")}.`,
  );
}

/** Where the model's weights are found in its files. */
export function familyWeights(spec: ModelSpec): FamilyWeights {
  return families[spec.family].weights(spec);
}
