import type { Family } from "./family.ts";
import { describeGatedRms } from "./gated-rms.ts";
import { llamaWeights } from "./llama-weights.ts";

/** Llama 1 to 3, and models of its form such as TinyLlama and SmolLM. */
export const llama: Family = {
  model_types: ["llama"],
  describe: describeGatedRms,
  weights: () => llamaWeights(),
};
