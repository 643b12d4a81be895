import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { blocksOf } from "./column-sum.ts";
import { type PlanContext, singleGroupLanes } from "./grid.ts";

export interface GradientNormShape {
  rows: number;
  d_sae: number;
  stride: number;
  /** Rows of W_skip; 0 without. */
  skip_rows: number;
  /** Null: never clip. */
  max_norm: number | null;
}

export interface GradientNormBuffers {
  /** Column sums of the errors, f32 [blocks, 4·stride]. */
  error_sums: GPUBuffer;
  /** Column sums of Σ dz · W_enc; null where b_dec is not subtracted from the encoder's input. */
  encoder_sums: GPUBuffer | null;
  /** Each feature's square norm, f32 [d_sae], and each row's of W_skip; null without. */
  square_norms: GPUBufferBinding;
  skip_square_norms: GPUBuffer | null;
  /** f32 [4·stride], written. */
  gb_dec: GPUBuffer;
  control: GPUBuffer;
  counters: GPUBuffer;
}

/** Gradient of b_dec, norm of the whole gradient and the factor that clips it. */
export async function planGradientNorm(
  { gpu, uniforms, step }: PlanContext,
  shape: GradientNormShape,
  {
    error_sums,
    encoder_sums,
    square_norms,
    skip_square_norms,
    gb_dec,
    control,
    counters,
  }: GradientNormBuffers,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({
    shader: "gradient_norm",
    conditions: { subtract_b_dec: encoder_sums !== null, skip: skip_square_norms !== null },
    constants: { WORKGROUP: singleGroupLanes(gpu.capabilities) },
  });
  const errorBlocks = blocksOf(shape.rows).blocks;
  const encoderBlocks = blocksOf(shape.d_sae).blocks;
  const uniform = uniforms.add([
    shape.d_sae,
    shape.stride,
    errorBlocks,
    encoderBlocks,
    shape.skip_rows,
    { f32: shape.max_norm ?? 0 },
  ]);
  return {
    label: "gradient_norm",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      step,
      uniform,
      error_sums,
      square_norms,
      gb_dec,
      control,
      counters,
      encoder_sums,
      skip_square_norms,
    ]),
    grid: [1, 1, 1],
    bytes: 4 * shape.d_sae + 16 * shape.stride * (errorBlocks + (encoder_sums === null ? 0 : encoderBlocks)),
    flops: shape.d_sae,
  };
}
