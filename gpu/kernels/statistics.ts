import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { divergedStep } from "./control.ts";
import { type PlanContext, singleGroupLanes } from "./grid.ts";

/** Bytes of shaders/statistics.wgsl's struct, a multiple of 16. */
export const statisticsBytes = 48;

/** What the host reads of a step. Sums run over the batch and the columns. */
export interface Statistics {
  y_deviation: number;
  error_deviation: number;
  error: number;
  /** What mse_loss and aux_loss sum, and the penalty and the pre-activation loss without their coefficients. */
  mse: number;
  auxiliary: number;
  sparsity: number;
  pre_act: number;
  grad_norm: number;
  /** Of the sparsity penalty. */
  coefficient: number;
  n_active: number;
  n_dead: number;
  /** First step at which a number was not finite. */
  diverged: number | null;
}

export function unpackStatistics(bytes: ArrayBuffer): Statistics {
  const view = new DataView(bytes);
  const f32 = (word: number) => view.getFloat32(4 * word, true);
  const u32 = (word: number) => view.getUint32(4 * word, true);
  return {
    y_deviation: f32(0),
    error_deviation: f32(1),
    error: f32(2),
    mse: f32(3),
    auxiliary: f32(4),
    sparsity: f32(5),
    pre_act: f32(6),
    grad_norm: f32(7),
    coefficient: f32(8),
    n_active: u32(9),
    n_dead: u32(10),
    diverged: divergedStep(u32(11)),
  };
}

export interface StatisticsShape {
  /** Pairs of vec4f in `moments`. */
  count: number;
  d_sae: number;
  feature_stride: number;
  /** Row of `feature_sums` with each feature's share of the sparsity loss; that of the pre-activation loss follows. */
  sparsity_row: number;
}

export interface StatisticsBuffers {
  /** f32 [count, 8]. */
  moments: GPUBuffer;
  control: GPUBuffer;
  counters: GPUBuffer;
  feature_sums: GPUBuffer;
  statistics: GPUBuffer;
}

/** Gathers a step's numbers for the host. */
export async function planStatistics(
  { gpu, uniforms }: PlanContext,
  { count, d_sae, feature_stride, sparsity_row }: StatisticsShape,
  { moments, control, counters, feature_sums, statistics }: StatisticsBuffers,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({
    shader: "statistics",
    constants: { WORKGROUP: singleGroupLanes(gpu.capabilities) },
  });
  const uniform = uniforms.add([count, d_sae, feature_stride, sparsity_row]);
  return {
    label: "statistics",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [uniform, moments, control, counters, statistics, feature_sums]),
    grid: [1, 1, 1],
    bytes: 32 * count + 8 * d_sae,
    flops: 8 * count + 2 * d_sae,
  };
}
