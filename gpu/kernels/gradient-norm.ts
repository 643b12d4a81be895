import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { blocksOf } from "./column-sum.ts";
import { featureSumStride } from "./feature-gradient.ts";
import { type PlanContext, singleGroupLanes } from "./grid.ts";

export interface GradientNormShape {
  rows: number;
  d_sae: number;
  stride: number;
  /** Null: never clip. */
  max_norm: number | null;
}

export interface GradientNormBuffers {
  /** Column sums of the errors, f32 [blocks, 4·stride]. */
  error_sums: GPUBuffer;
  /** Column sums of gb_enc · W_enc; null where b_dec is not subtracted from the encoder's input. */
  encoder_sums: GPUBuffer | null;
  feature_sums: GPUBuffer;
  /** f32 [4·stride], written. */
  gb_dec: GPUBuffer;
  control: GPUBuffer;
  counters: GPUBuffer;
}

/** Gradient of b_dec, norm of the whole gradient and the factor that clips it. */
export async function planGradientNorm(
  { gpu, uniforms, step }: PlanContext,
  shape: GradientNormShape,
  { error_sums, encoder_sums, feature_sums, gb_dec, control, counters }: GradientNormBuffers,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({
    shader: "gradient_norm",
    conditions: { subtract_b_dec: encoder_sums !== null },
    constants: { WORKGROUP: singleGroupLanes(gpu.capabilities) },
  });
  const errorBlocks = blocksOf(shape.rows).blocks;
  const encoderBlocks = blocksOf(shape.d_sae).blocks;
  const uniform = uniforms.add([
    shape.d_sae,
    shape.stride,
    errorBlocks,
    encoderBlocks,
    { f32: shape.max_norm ?? 0 },
  ]);
  const half = 4 * featureSumStride(shape.d_sae);
  return {
    label: "gradient_norm",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      step,
      uniform,
      error_sums,
      { buffer: feature_sums, offset: half, size: half },
      gb_dec,
      control,
      counters,
      ...(encoder_sums === null ? [] : [encoder_sums]),
    ]),
    grid: [1, 1, 1],
    bytes: 4 * shape.d_sae + 16 * shape.stride * (errorBlocks + (encoder_sums === null ? 0 : encoderBlocks)),
    flops: shape.d_sae,
  };
}
