import { bind } from "../../device/bind.ts";
import type { Dispatch } from "../../device/dispatch.ts";
import { type PlanContext, rowLanes, spread } from "../../kernels/grid.ts";

export interface LossShape {
  rows: number;
  /** Positions of a sequence. */
  length: number;
  /** Tokens of the vocabulary in this piece; pieces are taken in order, from 0. */
  first: number;
  count: number;
  /** f32 of a row of logits. */
  pitch: number;
}

export interface LossBuffers {
  /** u32 [rows]. */
  ids: GPUBuffer;
  /** f32 [rows, pitch]. */
  logits: GPUBuffer;
  /** f32 [rows, 4]: largest logit, Σ exp(logit − largest), logit of the next token; carried from piece to piece. */
  losses: GPUBuffer;
}

/** One piece of the logits into each token's loss. */
export async function planLoss(
  { gpu, uniforms, step }: PlanContext,
  { rows, length, first, count, pitch }: LossShape,
  { ids, logits, losses }: LossBuffers,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({
    shader: "lm_loss",
    constants: { WORKGROUP: rowLanes(gpu.capabilities) },
  });
  return {
    label: "loss",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      step,
      uniforms.add([first, count, pitch, length]),
      ids,
      logits,
      losses,
    ]),
    grid: spread(rows, gpu.capabilities),
    bytes: 4 * rows * count,
    flops: 4 * rows * count,
  };
}
