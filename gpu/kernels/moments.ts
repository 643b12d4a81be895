import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { blocksOf } from "./column-sum.ts";
import { flatLanes, type PlanContext, spread } from "./grid.ts";

export interface MomentsShape {
  rows: number;
  stride: number;
  /** Whether `errors` has a second, auxiliary half. */
  aux: boolean;
}

export interface MomentsBuffers {
  x: GPUBuffer;
  errors: GPUBuffer;
  /** Column sums by block, f32 [blocks, 4·stride]. */
  x_sums: GPUBuffer;
  error_sums: GPUBuffer;
  /** f32 [blocks, stride, 4], written: Σ (x − x̄)², Σ (e − ē)², Σ e², Σ e_aux². */
  moments: GPUBuffer;
}

/** Sums of squared deviations of the input and of the error, by two passes. */
export async function planMoments(
  { gpu, uniforms, step }: PlanContext,
  shape: MomentsShape,
  { x, errors, x_sums, error_sums, moments }: MomentsBuffers,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({ shader: "moments", constants: { WORKGROUP: flatLanes } });
  const { rows_per_block, blocks } = blocksOf(shape.rows);
  const elements = 4 * shape.rows * shape.stride;
  const uniform = uniforms.add([
    shape.stride,
    rows_per_block,
    blocks,
    shape.aux ? shape.rows * shape.stride : 0,
  ]);
  return {
    label: "moments",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniform, x, errors, x_sums, error_sums, moments]),
    grid: spread(Math.ceil((blocks * shape.stride) / flatLanes), gpu.capabilities),
    bytes: 4 * 3 * elements,
    flops: 10 * elements,
  };
}
