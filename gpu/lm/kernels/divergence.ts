import { bind } from "../../device/bind.ts";
import type { Dispatch } from "../../device/dispatch.ts";
import { type PlanContext, rowLanes, spread } from "../../kernels/grid.ts";

export interface DivergenceShape {
  rows: number;
  /** Tokens of the vocabulary in this piece; pieces are taken in order, from 0. */
  first: number;
  count: number;
  /** f32 of a row of logits. */
  pitch: number;
}

export interface DivergenceBuffers {
  /** f32 [rows, pitch] each. */
  p: GPUBuffer;
  q: GPUBuffer;
  /** f32 [rows, 4] each, as `planLoss` leaves them after the last piece. */
  pSums: GPUBuffer;
  qSums: GPUBuffer;
  /** f32 [rows]; carried from piece to piece. */
  kl: GPUBuffer;
}

/** One piece of the logits into each token's KL(p ‖ q), in nats. */
export async function planDivergence(
  { gpu, uniforms, step }: PlanContext,
  { rows, first, count, pitch }: DivergenceShape,
  { p, q, pSums, qSums, kl }: DivergenceBuffers,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({
    shader: "lm_kl",
    constants: { WORKGROUP: rowLanes(gpu.capabilities) },
  });
  return {
    label: "divergence",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      step,
      uniforms.add([first === 0 ? 1 : 0, count, pitch]),
      p,
      q,
      pSums,
      qSums,
      kl,
    ]),
    grid: spread(rows, gpu.capabilities),
    bytes: 8 * rows * count,
    flops: 6 * rows * count,
  };
}
