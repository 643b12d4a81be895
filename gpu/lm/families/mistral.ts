import { z } from "zod";
import { parse, sizes, slidingLayers } from "./config.ts";
import type { Family } from "./family.ts";
import { describeGatedRms, gatedRmsFields, windowed } from "./gated-rms.ts";
import { llamaWeights } from "./llama-weights.ts";

const schema = z.object({
  ...gatedRmsFields,
  max_position_embeddings: sizes.context.default(131_072),
  num_key_value_heads: sizes.heads.nullable().default(8),
  sliding_window: sizes.window.nullable().default(4096),
});

export const mistral: Family = {
  model_types: ["mistral"],
  describe(config, model_type) {
    const c = parse(schema, config);
    const spec = describeGatedRms(c, model_type);
    const sliding = slidingLayers(model_type, spec.n_layers, c.layer_types, () => true);
    return {
      ...spec,
      biases: { qkv: false, attn_out: false, mlp: false, head: false },
      layers: windowed(spec, sliding, c.sliding_window),
    };
  },
  weights: () => llamaWeights(),
};
