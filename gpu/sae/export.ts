import type { Gpu } from "../device/gpu.ts";
import type { BaseArchitecture } from "./architecture.ts";
import type { TrainingConfig } from "./config.ts";
import { foldDecoderNorm, foldNormalization } from "./folding.ts";
import { transposed } from "./initialize.ts";
import type { StepBuffers } from "./memory.ts";
import type { Normalization } from "./normalization.ts";
import { placedParameters } from "./parameters.ts";
import type { Sae, SaeActivation, SaeConfig, StateTensor } from "./sae.ts";
import type { StepSizes } from "./sizes.ts";
import { download } from "./state.ts";

const exportedAs: Record<BaseArchitecture, SaeActivation> = {
  standard: "relu",
  gated: "gated",
  jumprelu: "jumprelu",
  topk: "topk",
  batchtopk: "jumprelu",
  matryoshka_batchtopk: "jumprelu",
};

/**
 * The trained SAE as a function of raw activations, in SAELens' orientation: from the running means of the weights
 * where there are any, BatchTopK with its inference threshold, the normalisation folded in, and decoder rows brought
 * to norm 1 (not for crosscoders, whose norms per hook point say where a feature lives).
 * @param threshold BatchTopK's, in the space in which activations are ranked; unused otherwise.
 */
export async function exportSae(
  gpu: Gpu,
  config: TrainingConfig,
  sizes: StepSizes,
  buffers: StepBuffers,
  normalization: Normalization,
  threshold: number,
): Promise<Sae> {
  const { base, transcoder, points } = sizes;
  const prefix = config.ema_decay === null ? "" : "ema_";
  const tensors: Record<string, StateTensor> = {};
  for (const placed of placedParameters(sizes, buffers, prefix)) {
    tensors[placed.name] = await download(gpu, placed);
  }
  const { shape, data } = tensors.W_enc!;
  const [rows, columns] = [shape[0]!, shape[1]!];
  tensors.W_enc = { shape: [columns, rows], data: transposed(data as Float32Array, rows, columns) };
  if (exportedAs[base] === "jumprelu" && base !== "jumprelu") {
    tensors.threshold = { shape: [sizes.d_sae], data: thresholds(tensors.W_dec!, threshold, sizes) };
  }
  const trained: Sae = { config: exportedConfig(config, sizes), tensors };
  const folded = foldNormalization(trained, {
    input_scale: [...normalization.input_scale],
    input_mean: normalization.input_mean,
    output_scale: [...(transcoder ? normalization.target_scale : normalization.input_scale)],
    output_mean: transcoder ? normalization.target_mean : normalization.input_mean,
  });
  return points > 1 || config.decoder_norm === "unit" ? folded : foldDecoderNorm(folded);
}

/** What a training leaves, before anything is folded into its weights. */
export function exportedConfig(config: TrainingConfig, sizes: StepSizes): SaeConfig {
  const { base, d_sae, points, width_in, width_out, transcoder, skip } = sizes;
  const activation = exportedAs[base];
  const { normalize_activations: normalized } = config;
  return {
    activation,
    d_in: points * width_in,
    d_out: points * width_out,
    d_sae,
    k: activation === "topk" ? config.k : null,
    rescale_acts_by_decoder_norm: activation === "topk" && sizes.rescaled,
    apply_b_dec_to_input: config.apply_b_dec_to_input,
    normalize_activations:
      normalized === "constant_norm_rescale" || normalized === "layer_norm" ? normalized : "none",
    transcoder,
    skip,
    n_hook_points: points,
    metadata: {
      model_name: null,
      hook_name: null,
      hook_name_out: null,
      dataset_name: null,
      context_size: null,
      prepend_bos: null,
      training_architecture: config.architecture === base ? base : `${config.architecture}/${base}`,
      extra: {},
    },
  };
}

/** One threshold for all activations; where they were ranked by decoder norm, the same in the features' own units. */
function thresholds(
  W_dec: StateTensor,
  threshold: number,
  { d_sae, rescaled, points, width_out }: StepSizes,
): Float32Array {
  const result = new Float32Array(d_sae).fill(threshold);
  if (!rescaled) return result;
  for (let f = 0; f < d_sae; f++) {
    let norm = 0;
    for (let m = f * points; m < (f + 1) * points; m++) {
      norm += Math.hypot(...W_dec.data.subarray(m * width_out, (m + 1) * width_out));
    }
    // A row of zeros reconstructs nothing, whatever its threshold.
    if (norm > 0) result[f]! /= norm;
  }
  return result;
}
