import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { type PlanContext, rowLanes, spread } from "./grid.ts";

export interface SkipGradientShape {
  rows: number;
  stride_in: number;
  stride_out: number;
  /** First vec4f of the region of errors. */
  first: number;
  half: boolean;
}

export interface SkipGradientBuffers {
  /** f32 or f16 [rows, 4·stride_in]. */
  x: GPUBuffer;
  errors: GPUBuffer;
  /** f32 [4·stride_out, 4·stride_in], written. */
  gW_skip: GPUBuffer;
  /** f32 [4·stride_out], written. */
  square_norms: GPUBuffer;
}

/** Gradient of a skip transcoder's linear path. */
export async function planSkipGradient(
  { gpu, uniforms, step }: PlanContext,
  { rows, stride_in, stride_out, first, half }: SkipGradientShape,
  { x, errors, gW_skip, square_norms }: SkipGradientBuffers,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({
    shader: "skip_gradient",
    conditions: { half },
    constants: { WORKGROUP: rowLanes(gpu.capabilities) },
  });
  const outputs = 4 * stride_out;
  return {
    label: "skip_gradient",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      step,
      uniforms.add([outputs, stride_in, first]),
      x,
      errors,
      gW_skip,
      square_norms,
    ]),
    grid: spread(outputs, gpu.capabilities),
    bytes: 16 * (rows * (stride_in + stride_out) + outputs * stride_in),
    flops: 8 * rows * outputs * stride_in,
  };
}
