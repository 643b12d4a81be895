import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { type PlanContext, rowLanes, spread } from "./grid.ts";

export interface FeatureGradientShape {
  rows: number;
  d_in: number;
  d_sae: number;
  stride: number;
  /** Entries per token, main. */
  k: number;
  /** Removes the part of gW_dec along W_dec. */
  unit_decoder: boolean;
  /** Whether `errors` has a second, auxiliary half. */
  aux: boolean;
}

export interface FeatureGradientBuffers {
  x: GPUBuffer;
  errors: GPUBuffer;
  entries: GPUBuffer;
  segments: GPUBuffer;
  /** f32 [d_sae, 4·stride], written. */
  gW_enc: GPUBuffer;
  gW_dec: GPUBuffer;
  /** f32 [2, featureSumStride(d_sae)], written: gb_enc, then each feature's square gradient norm. */
  feature_sums: GPUBuffer;
  W_dec: GPUBuffer;
}

/** Floats between the two halves of `feature_sums`, so that each can be bound alone (256-byte alignment). */
export function featureSumStride(d_sae: number): number {
  return Math.ceil(d_sae / 64) * 64;
}

/** Gradients of W_enc, W_dec and b_enc, feature by feature, and their norms. */
export async function planFeatureGradient(
  { gpu, uniforms, step }: PlanContext,
  shape: FeatureGradientShape,
  { x, errors, entries, segments, gW_enc, gW_dec, feature_sums, W_dec }: FeatureGradientBuffers,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({
    shader: "feature_gradient",
    conditions: { unit_decoder: shape.unit_decoder },
    constants: { WORKGROUP: rowLanes(gpu.capabilities) },
  });
  const uniform = uniforms.add([
    shape.d_sae,
    shape.stride,
    shape.aux ? shape.rows * shape.stride : 0,
    featureSumStride(shape.d_sae),
  ]);
  const n = shape.rows * shape.k;
  const weights = shape.d_sae * shape.d_in;
  return {
    label: "feature_gradient",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      step,
      uniform,
      x,
      errors,
      entries,
      segments,
      gW_enc,
      gW_dec,
      feature_sums,
      ...(shape.unit_decoder ? [W_dec] : []),
    ]),
    grid: spread(shape.d_sae, gpu.capabilities),
    bytes: 4 * (2 * n * shape.d_in + (shape.unit_decoder ? 3 : 2) * weights),
    flops: 4 * n * shape.d_in + (shape.unit_decoder ? 8 : 4) * weights,
  };
}
