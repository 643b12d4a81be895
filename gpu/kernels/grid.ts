import type { Dispatch } from "../device/dispatch.ts";
import type { Capabilities, Gpu } from "../device/gpu.ts";
import type { UniformArena } from "./uniforms.ts";

/** What every kernel is planned with. */
export interface PlanContext {
  gpu: Gpu;
  uniforms: UniformArena;
  /** Uniform of step.ts, rewritten before every step. */
  step: GPUBuffer;
}

export type Grid = readonly [number, number, number];

/** Workgroups in one line, spread over x and y where one dimension does not hold them (shaders/grid.wgsl). */
export function spread(groups: number, { limits }: Capabilities): Grid {
  const most = limits.max_compute_workgroups_per_dimension;
  if (groups <= most) return [groups, 1, 1];
  const y = Math.ceil(groups / most);
  return [Math.ceil(groups / y), y, 1];
}

/** Invocations of a workgroup in kernels without barriers. */
export const flatLanes = 64;

/**
 * Invocations of a workgroup that owns a token or a feature and meets at barriers. A CPU adapter switches a
 * coroutine per barrier and four lanes: with 64 lanes a barrier cost it 20 times what it costs with 8.
 */
export function rowLanes({ software }: Capabilities): number {
  return software ? 8 : 64;
}

/**
 * Invocations of a workgroup that is one subgroup, where all subgroups have one size; null where they have not. Such a
 * workgroup adds up without barriers.
 */
export function subgroupLanes({ subgroup_min_size, subgroup_max_size }: Capabilities): number | null {
  return subgroup_min_size >= 4 && subgroup_min_size === subgroup_max_size ? subgroup_min_size : null;
}

/** Invocations of a kernel that runs as one workgroup. */
export function singleGroupLanes({ software }: Capabilities): number {
  return software ? 16 : 256;
}

/** The grid as planned; only dispatches whose grid the GPU decides have none. */
export function plannedGrid(dispatch: Dispatch): Grid {
  if ("indirect" in dispatch.grid)
    throw new Error(`"${dispatch.label}" already takes its grid from the GPU.`);
  return dispatch.grid;
}
