import type { ErrorRegions } from "../kernels/decode.ts";
import { featureStride } from "../kernels/feature-gradient.ts";
import { type BaseArchitecture, baseOf, isTranscoder, sourceWidth, widthsOf } from "./architecture.ts";
import type { TrainingConfig } from "./config.ts";
import { matryoshkaWidths } from "./matryoshka-batchtopk.ts";
import { nominalAuxK } from "./schedule.ts";

/** Parameters that a feature has besides its rows of W_enc and W_dec. */
export type FeatureParameter = "b_enc" | "b_gate" | "b_mag" | "r_mag" | "threshold";

/** The sizes a training step is planned for. */
export interface StepSizes {
  rows: number;
  base: BaseArchitecture;
  /** Columns of a raw row. */
  raw_width: number;
  /** Columns of a hook point of the input and of the target, and how many hook points lie side by side. */
  width_in: number;
  width_out: number;
  points: number;
  /** vec4f of one hook point and of a whole row, padded: x and W_enc; errors and W_dec. */
  point_in: number;
  point_out: number;
  stride_in: number;
  stride_out: number;
  d_sae: number;
  /** Floats between two rows of per-feature numbers. */
  feature_stride: number;
  /** In the order of their rows in the parameter buffer and in feature_sums. */
  parameters: readonly FeatureParameter[];
  transcoder: boolean;
  skip: boolean;
  half: boolean;
  /** Words of a plane of activation bits; AuxK's first plane, and planes in all. */
  plane: number;
  aux_plane: number;
  planes: number;
  /** Room per token in the lists of active features. */
  capacity: number;
  /** Which errors gradients are taken against, and where the sum of all of them lies. */
  regions: ErrorRegions;
  gradient_region: number;
  /** vec4f of a region of errors, a multiple of 256 bytes; AuxK's first region, and regions in all. */
  region_size: number;
  aux_region: number;
  all_regions: number;
  /** Nested dictionaries, the last all of d_sae. */
  widths: readonly number[];
  /** Nominal k_aux, 0 without AuxK; the dictionaries it serves, empty without. */
  k_aux: number;
  aux_widths: readonly number[];
  /** Activations are ranked by decoder norm too, summed over hook points. */
  rescaled: boolean;
}

const featureParameters: Record<BaseArchitecture, readonly FeatureParameter[]> = {
  standard: ["b_enc"],
  gated: ["b_gate", "b_mag", "r_mag"],
  jumprelu: ["b_enc", "threshold"],
  topk: ["b_enc"],
  batchtopk: ["b_enc"],
  matryoshka_batchtopk: ["b_enc"],
};

/** Lists beyond an eighth of the dictionary are read from the bits: early in training, when nearly all features fire. */
const leastCapacity = 256;

export function stepSizes(config: TrainingConfig): StepSizes {
  const { architecture, d_in, d_sae, train_batch_size_tokens: rows } = config;
  const base = baseOf(config);
  const points = architecture === "crosscoder" ? config.n_hook_points : 1;
  const width_out = widthsOf(config).output / points;
  const point_in = Math.ceil(d_in / 4);
  const point_out = Math.ceil(width_out / 4);
  const multi = base === "topk" && config.multi_topk;
  const widths = base === "matryoshka_batchtopk" ? matryoshkaWidths(config) : [d_sae];
  const regions = regionsOf(base, multi, widths.length);
  const mainRegions = { plain: 1, nested: widths.length, multi: 3, gated: 2 }[regions];
  const k_aux = nominalAuxK(config);
  const aux_widths = k_aux === 0 ? [] : config.use_matryoshka_aux_loss ? widths : [d_sae];
  const stride_out = points * point_out;
  const aux_plane = base === "gated" || base === "jumprelu" || multi ? 2 : 1;
  const most = Math.ceil(Math.max(config.k, config.k_anneal_from ?? 0));
  return {
    rows,
    base,
    raw_width: sourceWidth(config),
    width_in: d_in,
    width_out,
    points,
    point_in,
    point_out,
    stride_in: points * point_in,
    stride_out,
    d_sae,
    feature_stride: featureStride(d_sae),
    parameters: featureParameters[base],
    transcoder: isTranscoder(architecture),
    skip: architecture === "skip_transcoder",
    half: config.precision === "f16",
    plane: Math.ceil(rows / 32) * d_sae,
    aux_plane,
    planes: aux_plane + aux_widths.length,
    capacity:
      base === "topk"
        ? Math.min(d_sae, (multi ? 4 : 1) * most)
        : Math.min(d_sae, Math.max(leastCapacity, Math.ceil(d_sae / 8))),
    regions,
    gradient_region: regions === "nested" ? widths.length - 1 : regions === "multi" ? 1 : 0,
    region_size: Math.ceil((rows * stride_out) / 16) * 16,
    aux_region: mainRegions,
    all_regions: mainRegions + aux_widths.length,
    widths,
    k_aux,
    aux_widths,
    rescaled:
      ["topk", "batchtopk", "matryoshka_batchtopk"].includes(base) &&
      config.decoder_norm === "free" &&
      config.rescale_acts_by_decoder_norm &&
      // Scaling hook points apart would change the ranking of an exported TopK crosscoder.
      !(points > 1 && base === "topk"),
  };
}

function regionsOf(base: BaseArchitecture, multi: boolean, levels: number): ErrorRegions {
  if (base === "gated") return "gated";
  if (multi) return "multi";
  return levels > 1 ? "nested" : "plain";
}

/** Dispatches whose grids depend on whether any feature is dead: select and decode of every dictionary AuxK serves. */
export function auxDispatches({ aux_widths }: StepSizes): number {
  return 2 * aux_widths.length;
}

/** vec4f of every weight tensor, padded rows and all. */
export function weightSizes(sizes: StepSizes) {
  const { d_sae, stride_in, stride_out, parameters, feature_stride, skip } = sizes;
  return {
    W_enc: d_sae * stride_in,
    W_dec: d_sae * stride_out,
    feature_parameters: (parameters.length * feature_stride) / 4,
    b_dec: stride_out,
    W_skip: skip ? 4 * stride_out * stride_in : 0,
  };
}
export const weightNames = ["W_enc", "W_dec", "feature_parameters", "b_dec", "W_skip"] as const;
