import type { Family } from "./family.ts";
import { llamaWeights } from "./llama-weights.ts";
import { describeQwen } from "./qwen.ts";

/** Qwen 2 and 2.5: biases of queries, keys and values alone, always. */
export const qwen2: Family = {
  model_types: ["qwen2"],
  describe(config, model_type) {
    const spec = describeQwen(config, model_type);
    return { ...spec, biases: { qkv: true, attn_out: false, mlp: false, head: false } };
  },
  weights: () => llamaWeights(),
};
