import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { divergedStep } from "./control.ts";
import { type PlanContext, singleGroupLanes } from "./grid.ts";

/** Bytes of shaders/statistics.wgsl's struct, a multiple of 16. */
export const statisticsBytes = 48;

/** What the host reads of a step. Sums run over the batch and d_in. */
export interface Statistics {
  x_deviation: number;
  error_deviation: number;
  error: number;
  aux_error: number;
  aux_scale: number;
  grad_norm: number;
  active: number;
  n_dead: number;
  /** First step at which a number was not finite. */
  diverged: number | null;
}

export function unpackStatistics(bytes: ArrayBuffer): Statistics {
  const view = new DataView(bytes);
  const f32 = (word: number) => view.getFloat32(4 * word, true);
  const u32 = (word: number) => view.getUint32(4 * word, true);
  return {
    x_deviation: f32(0),
    error_deviation: f32(1),
    error: f32(2),
    aux_error: f32(3),
    aux_scale: f32(4),
    grad_norm: f32(5),
    active: u32(6),
    n_dead: u32(7),
    diverged: divergedStep(u32(8)),
  };
}

export interface StatisticsBuffers {
  /** f32 [count, 4]. */
  moments: GPUBuffer;
  control: GPUBuffer;
  counters: GPUBuffer;
  statistics: GPUBuffer;
}

/** Gathers a step's numbers for the host. */
export async function planStatistics(
  { gpu, uniforms }: PlanContext,
  count: number,
  { moments, control, counters, statistics }: StatisticsBuffers,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({
    shader: "statistics",
    constants: { WORKGROUP: singleGroupLanes(gpu.capabilities) },
  });
  return {
    label: "statistics",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [uniforms.add([count]), moments, control, counters, statistics]),
    grid: [1, 1, 1],
    bytes: 16 * count,
    flops: 4 * count,
  };
}
