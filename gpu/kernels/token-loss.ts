import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { flatLanes, type PlanContext, spread } from "./grid.ts";

export interface TokenLossBuffers {
  /** f32 [rows, 4·stride]. */
  errors: GPUBuffer;
  /** f32 [rows], written. */
  losses: GPUBuffer;
}

/** ‖e‖² of every token. */
export async function planTokenLoss(
  { gpu, uniforms, step }: PlanContext,
  { rows, stride }: { rows: number; stride: number },
  { errors, losses }: TokenLossBuffers,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({ shader: "token_loss", constants: { WORKGROUP: flatLanes } });
  return {
    label: "token_loss",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniforms.add([stride]), errors, losses]),
    grid: spread(Math.ceil(rows / flatLanes), gpu.capabilities),
    bytes: 16 * rows * stride,
    flops: 8 * rows * stride,
  };
}
