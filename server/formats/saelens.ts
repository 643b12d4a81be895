import { z } from "zod";
import type { SaeActivation, SaeConfig } from "../../gpu/sae/sae.ts";
import { parseSettings } from "./json-file.ts";
import { SaeFormatError } from "./sae-format-error.ts";
import { metadataOf, type SaeSource } from "./sae-source.ts";

/*
 * `cfg.json` of SAELens 6: which class of it is meant, and with what settings. `SAE.load_from_disk` reads a folder
 * written from here as it is. Unknown keys are dropped there, missing ones take the defaults below.
 */

/** Release the layout was tried against; loaders take 6.0.0 and later for this layout. */
const saeLensVersion = "6.38.0";

/** SAELens' classes, by the architecture in cfg.json. */
const architectures: Record<string, Pick<SaeConfig, "activation" | "transcoder" | "skip">> = {
  standard: { activation: "relu", transcoder: false, skip: false },
  topk: { activation: "topk", transcoder: false, skip: false },
  jumprelu: { activation: "jumprelu", transcoder: false, skip: false },
  gated: { activation: "gated", transcoder: false, skip: false },
  transcoder: { activation: "relu", transcoder: true, skip: false },
  skip_transcoder: { activation: "relu", transcoder: true, skip: true },
  jumprelu_transcoder: { activation: "jumprelu", transcoder: true, skip: false },
  jumprelu_skip_transcoder: { activation: "jumprelu", transcoder: true, skip: true },
};

/** Why SAELens cannot express an SAE, in a full sentence; null if it can. */
export function saelensRefusal(config: SaeConfig): string | null {
  const { activation, transcoder, skip, n_hook_points, normalize_activations } = config;
  if (n_hook_points > 1) return "SAELens has no crosscoders.";
  if (skip && !transcoder) return "SAELens has skip connections only in transcoders.";
  if (transcoder && normalize_activations !== "none") {
    return `SAELens leaves a transcoder's output in the normalised space, but this one's is taken back (${normalize_activations}).`;
  }
  if (architectureOf({ activation, transcoder, skip }) === null) {
    return `SAELens has transcoders of ReLU and JumpReLU, but not of ${activationNames[activation]}.`;
  }
  return null;
}

const activationNames: Record<SaeActivation, string> = {
  relu: "ReLU",
  gated: "Gated",
  jumprelu: "JumpReLU",
  topk: "TopK",
};

function architectureOf(wanted: Pick<SaeConfig, "activation" | "transcoder" | "skip">): string | null {
  const found = Object.entries(architectures).find(
    ([, one]) =>
      one.activation === wanted.activation &&
      one.transcoder === wanted.transcoder &&
      one.skip === wanted.skip,
  );
  return found?.[0] ?? null;
}

/** SAELens' own metadata, all of it optional. */
const emptyMetadata = {
  sae_lens_training_version: null,
  hook_head_index: null,
  exclude_special_tokens: null,
  seqpos_slice: null,
  model_class_name: null,
  model_from_pretrained_kwargs: null,
  neuronpedia_id: null,
};

/** cfg.json of an SAE that SAELens can express. */
export function saelensCfg(config: SaeConfig): Record<string, unknown> {
  const architecture = architectureOf(config);
  const { metadata } = config;
  const { reshape_activations, ...extra } = metadata.extra;
  return {
    architecture,
    d_in: config.d_in,
    d_sae: config.d_sae,
    ...(config.transcoder ? { d_out: config.d_out } : {}),
    dtype: "float32",
    device: "cpu",
    apply_b_dec_to_input: config.apply_b_dec_to_input,
    normalize_activations: config.normalize_activations,
    reshape_activations: reshape_activations ?? "none",
    ...(config.activation === "topk"
      ? { k: config.k, rescale_acts_by_decoder_norm: config.rescale_acts_by_decoder_norm }
      : {}),
    metadata: {
      ...emptyMetadata,
      ...extra,
      sae_lens_version: saeLensVersion,
      model_name: metadata.model_name,
      hook_name: metadata.hook_name,
      hook_name_out: metadata.hook_name_out,
      context_size: metadata.context_size,
      prepend_bos: metadata.prepend_bos,
      dataset_path: metadata.dataset_name,
      training_architecture: metadata.training_architecture,
    },
  };
}

const count = z
  .number()
  .int()
  .min(1)
  .max(2 ** 40);

/** Whatever it says, the weights are computed with in float32. */
const dtypes = ["float32", "float64", "float16", "bfloat16"].flatMap((name) => [name, `torch.${name}`]);

const cfgSchema = z.looseObject({
  architecture: z.string(),
  d_in: count,
  d_sae: count,
  d_out: count.default(768),
  dtype: z.enum(dtypes),
  apply_b_dec_to_input: z.boolean().default(true),
  normalize_activations: z
    .enum(["none", "expected_average_only_in", "constant_norm_rescale", "layer_norm"])
    .nullable()
    .default("none"),
  reshape_activations: z.enum(["none", "hook_z"]).default("none"),
  k: count.default(100),
  rescale_acts_by_decoder_norm: z.boolean().default(false),
  metadata: z.looseObject({
    sae_lens_version: z
      .string()
      .refine(
        (version) => /^([6-9]|\d\d+)\./.test(version),
        "It must be 6.0.0 or later; save the SAE with SAELens 6.",
      ),
    model_name: z.string().nullish(),
    hook_name: z.string().nullish(),
    hook_name_out: z.string().nullish(),
    context_size: z.number().int().nullish(),
    prepend_bos: z.boolean().nullish(),
    dataset_path: z.string().nullish(),
    training_architecture: z.string().nullish(),
  }),
});

/** What a cfg.json describes. Throws `SaeFormatError` for what SAELens would refuse, too. */
export function fromSaelensCfg(
  file: string,
  value: unknown,
): Pick<SaeSource, "format" | "architecture" | "config" | "notes"> {
  const cfg = parseSettings(file, cfgSchema, value);
  const { architecture, metadata } = cfg;
  const kind = Object.hasOwn(architectures, architecture) ? architectures[architecture] : undefined;
  if (kind === undefined) {
    throw new SaeFormatError(
      `${file} is of the architecture ${JSON.stringify(architecture.slice(0, 80))}; ${Object.keys(architectures).join(", ")} can be read.`,
    );
  }
  if (kind.transcoder && cfg.apply_b_dec_to_input) {
    throw new SaeFormatError(
      `${file} asks a transcoder to subtract b_dec, which belongs to its target. Set apply_b_dec_to_input to false.`,
    );
  }
  const notes: string[] = [];
  const normalization = cfg.normalize_activations ?? "none";
  if (normalization === "expected_average_only_in") {
    notes.push(
      "Its weights expect activations that were scaled to a mean norm of √d_in; the scale is not in the file and was not folded in.",
    );
  }
  const config: SaeConfig = {
    ...kind,
    d_in: cfg.d_in,
    d_out: kind.transcoder ? cfg.d_out : cfg.d_in,
    d_sae: cfg.d_sae,
    k: kind.activation === "topk" ? cfg.k : null,
    rescale_acts_by_decoder_norm: kind.activation === "topk" && cfg.rescale_acts_by_decoder_norm,
    apply_b_dec_to_input: cfg.apply_b_dec_to_input,
    normalize_activations: normalization === "expected_average_only_in" ? "none" : normalization,
    n_hook_points: 1,
    metadata: metadataOf({
      model_name: metadata.model_name ?? null,
      hook_name: metadata.hook_name ?? null,
      hook_name_out: metadata.hook_name_out ?? null,
      dataset_name: metadata.dataset_path ?? null,
      context_size: metadata.context_size ?? null,
      prepend_bos: metadata.prepend_bos ?? null,
      training_architecture: metadata.training_architecture ?? null,
      extra: extraOf(metadata, cfg.reshape_activations),
    }),
  };
  const refusal = saelensRefusal(config);
  if (refusal !== null) throw new SaeFormatError(`${file} cannot be read faithfully. ${refusal}`);
  return { format: "saelens", architecture, config, notes };
}

/** The source's own metadata beyond what an SAE's metadata has fields for. */
function extraOf(
  metadata: z.output<typeof cfgSchema>["metadata"],
  reshape_activations: string,
): Record<string, unknown> {
  const {
    sae_lens_version: _version,
    model_name: _model,
    hook_name: _hook,
    hook_name_out: _hookOut,
    context_size: _context,
    prepend_bos: _bos,
    dataset_path: _dataset,
    training_architecture: _training,
    ...rest
  } = metadata;
  const said = Object.entries(rest).filter(
    ([key, value]) => value !== null || !Object.hasOwn(emptyMetadata, key),
  );
  return {
    ...Object.fromEntries(said),
    ...(reshape_activations === "none" ? {} : { reshape_activations }),
  };
}
