import { z } from "zod";
import { parse, sizes } from "./config.ts";
import type { Family } from "./family.ts";
import { llamaWeights } from "./llama-weights.ts";
import { describeQwen } from "./qwen.ts";

const schema = z.looseObject({ head_dim: sizes.d_head.nullable().default(128) });

/** Qwen 3: each head's queries and keys are normalised. */
export const qwen3: Family = {
  model_types: ["qwen3"],
  describe(config, model_type) {
    const spec = describeQwen(parse(schema, config), model_type);
    return { ...spec, qk_norm: spec.norm, biases: { ...spec.biases, mlp: false } };
  },
  weights: () => llamaWeights(),
};
