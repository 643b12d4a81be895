import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { widthWords } from "./control.ts";
import { type PlanContext, rowLanes, spread, subgroupLanes } from "./grid.ts";

/** Floats between two rows of per-feature numbers, so that each row can be bound alone (256-byte alignment). */
export function featureStride(d_sae: number): number {
  return Math.ceil(d_sae / 64) * 64;
}

/** Rows of `sums` after those of the parameters: square norms, sparsity, pre-activation loss, and gated's Σ dz. */
export const featureSumRows = 4;

/** Parts of shaders/feature_gradient.wgsl, by name. */
export type GradientConditions = Partial<
  Record<
    | "standard"
    | "lp"
    | "gated"
    | "jumprelu"
    | "tanh_penalty"
    | "step_penalty"
    | "quadratic_penalty"
    | "nested"
    | "multi"
    | "penalized",
    boolean
  >
>;

export interface FeatureGradientShape {
  rows: number;
  d_sae: number;
  stride_in: number;
  stride_out: number;
  feature_stride: number;
  /** vec4f of a region of errors, and words of a plane of bits. */
  region_size: number;
  plane: number;
  widths: readonly number[];
  aux: { levels: number; region: number; plane: number };
  /** Parameters per feature. */
  parameters: number;
  /** Hook points whose norms a penalty adds up. */
  points: number;
  lp_norm: number;
  tanh_scale: number;
  bandwidth: number;
  pre_act: number;
  target_l0: number;
  unit_decoder: boolean;
  half: boolean;
  /** Entries that are expected, for the profile. */
  entries: number;
}

export interface FeatureGradientBuffers {
  /** f32 or f16 [rows, 4·stride_in]. */
  x: GPUBuffer;
  errors: GPUBuffer;
  words: GPUBuffer;
  z: GPUBuffer;
  /** f32 [d_sae, 4·stride_out]. */
  W_dec: GPUBuffer;
  /** f32 [d_sae, 4·stride], written. */
  gW_enc: GPUBuffer;
  gW_dec: GPUBuffer;
  /** f32 [parameters + featureSumRows, feature_stride], written. */
  feature_sums: GPUBuffer;
  control: GPUBuffer;
  /** f32 [parameters, feature_stride]. */
  feature_parameters: GPUBuffer;
}

/** The backward pass, feature by feature: gradients of W_enc, W_dec and the features' own parameters, and norms. */
export async function planFeatureGradient(
  { gpu, uniforms, step }: PlanContext,
  shape: FeatureGradientShape,
  conditions: GradientConditions,
  b: FeatureGradientBuffers,
): Promise<Dispatch> {
  const lockstep = subgroupLanes(gpu.capabilities);
  const pipeline = await gpu.pipelines.compute({
    shader: "feature_gradient",
    conditions: {
      ...conditions,
      unit_decoder: shape.unit_decoder,
      half: shape.half,
      aux: shape.aux.levels > 0,
      lockstep: lockstep !== null,
      quad: lockstep === 4,
    },
    constants: { WORKGROUP: lockstep ?? rowLanes(gpu.capabilities) },
  });
  const uniform = uniforms.add([
    shape.d_sae,
    shape.stride_in,
    shape.stride_out,
    shape.feature_stride,
    shape.region_size,
    shape.plane,
    shape.widths.length,
    shape.aux.levels,
    shape.aux.region,
    shape.aux.plane,
    shape.parameters,
    shape.points,
    { f32: shape.lp_norm },
    { f32: shape.tanh_scale },
    { f32: shape.bandwidth },
    { f32: shape.pre_act },
    { f32: shape.target_l0 },
    0,
    0,
    0,
    ...widthWords(shape.widths),
  ]);
  const weights = 4 * shape.d_sae * (shape.stride_in + shape.stride_out);
  return {
    label: "feature_gradient",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      step,
      uniform,
      b.x,
      b.errors,
      b.words,
      b.z,
      b.W_dec,
      b.gW_enc,
      b.gW_dec,
      b.feature_sums,
      b.control,
      conditions.gated || conditions.jumprelu ? b.feature_parameters : null,
    ]),
    grid: spread(shape.d_sae, gpu.capabilities),
    bytes: 16 * shape.entries * (2 * shape.stride_out + shape.stride_in) + 8 * weights,
    flops: 8 * shape.entries * (2 * shape.stride_out + shape.stride_in) + 2 * weights,
  };
}
