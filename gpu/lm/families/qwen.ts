import { z } from "zod";
import { parse, sizes, slidingLayers } from "./config.ts";
import { describeGatedRms, gatedRmsFields, windowed } from "./gated-rms.ts";

const schema = z.object({
  ...gatedRmsFields,
  max_position_embeddings: sizes.context.default(32_768),
  num_key_value_heads: sizes.heads.nullable().default(32),
  use_sliding_window: z.boolean().default(false),
  sliding_window: sizes.window.nullable().default(4096),
  max_window_layers: z.number().int().min(0).max(1024).default(28),
});

/** What Qwen 2 and 3 share: layers from `max_window_layers` on attend within a window, where windows are used. */
export function describeQwen(config: unknown, model_type: string) {
  const c = parse(schema, config);
  const spec = describeGatedRms(c, model_type);
  const window = c.use_sliding_window ? c.sliding_window : null;
  const sliding = slidingLayers(
    model_type,
    spec.n_layers,
    c.layer_types,
    (layer) => layer >= c.max_window_layers,
  );
  return { ...spec, layers: windowed(spec, sliding, window) };
}
