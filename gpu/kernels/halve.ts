import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { flatLanes, type PlanContext, spread } from "./grid.ts";

export interface HalveBuffers {
  /** f32 [4·count]. */
  tensor: GPUBuffer;
  /** f16 [4·count], written. */
  halves: GPUBuffer;
}

/** The f16 copy of a tensor of `count` vec4f. */
export async function planHalve(
  { gpu, uniforms }: PlanContext,
  { count, tensor: name }: { count: number; tensor: string },
  { tensor, halves }: HalveBuffers,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({ shader: "halve", constants: { WORKGROUP: flatLanes } });
  return {
    label: `halve/${name}`,
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [uniforms.add([count]), tensor, halves]),
    grid: spread(Math.ceil(count / flatLanes), gpu.capabilities),
    bytes: 24 * count,
    flops: 0,
  };
}
