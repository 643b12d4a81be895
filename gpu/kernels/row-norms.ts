import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { flatLanes, type PlanContext, spread } from "./grid.ts";

export interface RowNormsShape {
  d_sae: number;
  /** vec4f of a hook point, and how many there are in a row. */
  stride: number;
  points: number;
}

export interface RowNormsBuffers {
  /** f32 [d_sae, points, 4·stride]. */
  W_dec: GPUBuffer;
  /** f32 [d_sae], written. */
  norms: GPUBuffer;
}

/** Norm of each decoder row, summed over hook points. */
export async function planRowNorms(
  { gpu, uniforms }: PlanContext,
  { d_sae, stride, points }: RowNormsShape,
  { W_dec, norms }: RowNormsBuffers,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({ shader: "row_norms", constants: { WORKGROUP: flatLanes } });
  const weights = 4 * d_sae * stride * points;
  return {
    label: "row_norms",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [uniforms.add([d_sae, stride, points]), W_dec, norms]),
    grid: spread(Math.ceil(d_sae / flatLanes), gpu.capabilities),
    bytes: 4 * weights,
    flops: 2 * weights,
  };
}
