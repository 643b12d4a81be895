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
  clean: GPUBuffer;
  other: GPUBuffer;
  /** f32 [rows, 4]: largest clean logit, Σ exp(a − largest), Σ exp(a − largest) (a − b); carried from piece to piece. */
  sums: GPUBuffer;
}

/** One piece of two models' logits into the sums that their divergence needs. */
export async function planDivergence(
  { gpu, uniforms, step }: PlanContext,
  { rows, first, count, pitch }: DivergenceShape,
  { clean, other, sums }: DivergenceBuffers,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({
    shader: "lm_divergence",
    constants: { WORKGROUP: rowLanes(gpu.capabilities) },
  });
  return {
    label: "divergence",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniforms.add([first, count, pitch]), clean, other, sums]),
    grid: spread(rows, gpu.capabilities),
    bytes: 8 * rows * count,
    flops: 8 * rows * count,
  };
}
