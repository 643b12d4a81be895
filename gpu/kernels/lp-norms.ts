import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { firstTokenNorm } from "./control.ts";
import { flatLanes, type PlanContext, spread } from "./grid.ts";

export interface LpNormsBuffers {
  /** f32 [rows, d_sae]. */
  z: GPUBuffer;
  /** f32 [d_sae], by which activations are multiplied. */
  norms: GPUBuffer;
  /** Its tail is written. */
  control: GPUBuffer;
}

/** ‖u‖_p of each token, for penalties with p above 1. */
export async function planLpNorms(
  { gpu, uniforms, step }: PlanContext,
  { rows, d_sae, p }: { rows: number; d_sae: number; p: number },
  { z, norms, control }: LpNormsBuffers,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({ shader: "lp_norms", constants: { WORKGROUP: flatLanes } });
  const uniform = uniforms.add([d_sae, { f32: p }, firstTokenNorm(d_sae)]);
  return {
    label: "lp_norms",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniform, z, norms, control]),
    grid: spread(Math.ceil(rows / flatLanes), gpu.capabilities),
    bytes: 8 * rows * d_sae,
    flops: 4 * rows * d_sae,
  };
}
