import type { ModelSource, ModelUses } from "../../server/models/views.ts";
import type { Explanation } from "../_ui/info-tip.tsx";

/** Where a model came from, in a word or two. */
export function sourceWords(source: ModelSource): string {
  switch (source.kind) {
    case "hub":
      return "From the hub";
    case "folder":
      return "From a folder";
    case "sample":
      return "Comes with Facet";
  }
}

const useNames = {
  tokenizations: ["tokenization", "tokenizations"],
  captures: ["capture", "captures"],
  activation_sets: ["activation set", "activation sets"],
  runs: ["run", "runs"],
} as const;

/** "2 tokenizations, a run"; null where nothing uses it. */
export function usesWords(uses: Partial<ModelUses>): string | null {
  const words = (Object.keys(useNames) as (keyof typeof useNames)[]).flatMap((key) => {
    const count = uses[key] ?? 0;
    return count === 0 ? [] : [`${count} ${useNames[key][count === 1 ? 0 : 1]}`];
  });
  return words.length === 0 ? null : words.join(", ");
}

export const modelExplanations = {
  parameters: {
    help: "Trained numbers of the model. An output head that is the embedding itself counts once.",
  },
  layers: { help: "Blocks of attention and MLP that the residual stream goes through." },
  d_model: { help: "Width of the residual stream: numbers a token that each block reads and adds to." },
  context: { help: "Longest sequence that the model takes, in tokens." },
  vocabulary: { help: "Tokens that it tells apart: rows of its embedding." },
  memory: {
    help: "What the parameters alone take in the GPU’s memory. A pass needs some more for what it computes on the way.",
    formula: "parameters × 4, 2 or 1 bytes",
  },
  precision: {
    help: "How the model’s weights lie on the GPU. F16 takes half the memory, and int8 a quarter; what the model computes moves with the rounding, by about 2⁻¹¹ of each weight in F16, and up to a 254th of a row’s largest in int8. Activations and sums are F32 with each.",
    note: "Measure an SAE in the precision that it was trained in.",
  },
  download: { help: "Bytes of the files that an import takes: configuration, tokenizer and weights." },
  tokenizer: {
    help: "tokenizer.json, which turns text into this model’s tokens. Without it no dataset can be tokenized for the model, and so nothing captured from it or trained on it.",
  },
} as const satisfies Record<string, Explanation>;

export const precisions = [
  ["f32", "F32"],
  ["f16", "F16"],
  ["int8", "Int8"],
] as const;
