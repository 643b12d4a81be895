import { z } from "zod";
import type { SaeConfig } from "../../gpu/sae/sae.ts";
import { isJsonObject, parseSettings } from "./json-file.ts";
import type { SaeSource } from "./sae-source.ts";

/*
 * Our own cfg.json, for SAEs that SAELens has no class for: the same files and tensors, an architecture that SAELens
 * does not know and so refuses instead of computing something else, and the whole configuration under `facet`.
 */

const count = z
  .number()
  .int()
  .min(1)
  .max(2 ** 40);

const configSchema = z.strictObject({
  activation: z.enum(["relu", "gated", "jumprelu", "topk"]),
  d_in: count,
  d_out: count,
  d_sae: count,
  k: count.nullable(),
  rescale_acts_by_decoder_norm: z.boolean(),
  apply_b_dec_to_input: z.boolean(),
  normalize_activations: z.enum(["none", "constant_norm_rescale", "layer_norm"]),
  transcoder: z.boolean(),
  skip: z.boolean(),
  n_hook_points: z.number().int().min(1).max(1_024),
  metadata: z.strictObject({
    model_name: z.string().nullable(),
    hook_name: z.string().nullable(),
    hook_name_out: z.string().nullable(),
    dataset_name: z.string().nullable(),
    context_size: z.number().int().nullable(),
    prepend_bos: z.boolean().nullable(),
    training_architecture: z.string().nullable(),
    extra: z.record(z.string(), z.unknown()),
  }),
});

const cfgSchema = z.looseObject({
  architecture: z.string(),
  facet: z.strictObject({ format_version: z.literal(1), config: configSchema }),
});

export function isFacetCfg(cfg: unknown): boolean {
  return isJsonObject(cfg) && "facet" in cfg;
}

/** cfg.json of any SAE. */
export function facetCfg(config: SaeConfig): Record<string, unknown> {
  return {
    architecture: facetArchitecture(config),
    d_in: config.d_in,
    d_out: config.d_out,
    d_sae: config.d_sae,
    dtype: "float32",
    facet: { format_version: 1, config },
  };
}

/** "topk-transcoder", "relu-crosscoder": SAELens' names have underscores, so none of these is one of them. */
function facetArchitecture({ activation, transcoder, skip, n_hook_points }: SaeConfig): string {
  const kind = n_hook_points > 1 ? "crosscoder" : transcoder ? "transcoder" : "sae";
  return `${activation}${skip ? "-skip" : ""}-${kind}`;
}

/** Throws `SaeFormatError`. */
export function fromFacetCfg(
  file: string,
  value: unknown,
): Pick<SaeSource, "format" | "architecture" | "config" | "notes"> {
  const { architecture, facet } = parseSettings(file, cfgSchema, value);
  return { format: "facet", architecture, config: facet.config, notes: [] };
}
