import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { flatLanes, type PlanContext, spread } from "./grid.ts";

export interface ListActiveShape {
  rows: number;
  d_sae: number;
  /** Room per token. */
  capacity: number;
  /** First word of the plane of bits. */
  plane: number;
}

export interface ListActiveBuffers {
  words: GPUBuffer;
  /** u32 [rows, capacity] and [rows], written. A count beyond the capacity says that the list is not whole. */
  indices: GPUBuffer;
  counts: GPUBuffer;
}

/** The active features of each token, ascending. */
export async function planListActive(
  { gpu, uniforms, step }: PlanContext,
  { rows, d_sae, capacity, plane }: ListActiveShape,
  { words, indices, counts }: ListActiveBuffers,
): Promise<Dispatch> {
  const lanes = flatLanes;
  const pipeline = await gpu.pipelines.compute({
    shader: "list_active",
    constants: { WORKGROUP: lanes },
  });
  const uniform = uniforms.add([d_sae, capacity, plane]);
  return {
    label: "list_active",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniform, words, indices, counts]),
    grid: spread(Math.ceil(rows / lanes), gpu.capabilities),
    bytes: 4 * Math.ceil(rows / 32) * d_sae + 4 * rows * (capacity + 1),
    flops: 0,
  };
}
