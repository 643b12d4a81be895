import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { widthWords } from "./control.ts";
import { type PlanContext, singleGroupLanes } from "./grid.ts";

export interface FindDeadShape {
  d_sae: number;
  /** A feature is dead when more tokens than this have passed since it fired. */
  window: number;
  /** Nominal k_aux; 0 turns AuxK off. */
  k_aux: number;
  coefficient: number;
  /** Nested dictionaries whose dead features AuxK revives by themselves. */
  widths: readonly number[];
  /** Dispatches whose grids are switched. */
  dispatches: number;
}

export interface FindDeadBuffers {
  /** u32 [d_sae]. */
  tokens_since_fired: GPUBuffer;
  /** u32 [d_sae], written: the dead features, ascending; `control.n_dead` of them. */
  dead: GPUBuffer;
  control: GPUBuffer;
  /** u32 [3·dispatches]: grids when there are dead features. */
  planned_grids: GPUBuffer;
  /** u32 [3·dispatches], INDIRECT: the planned grids, or zeros. */
  grids: GPUBuffer;
  /** What is carried from step to step (steer.ts). */
  steering: GPUBuffer;
}

/** Begins a step: lists the dead features (AuxK's dispatches get empty grids when there are none), sets coefficients. */
export async function planFindDead(
  { gpu, uniforms, step }: PlanContext,
  shape: FindDeadShape,
  { tokens_since_fired, dead, control, planned_grids, grids, steering }: FindDeadBuffers,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({
    shader: "find_dead",
    constants: { WORKGROUP: singleGroupLanes(gpu.capabilities) },
  });
  const uniform = uniforms.add([
    shape.d_sae,
    shape.window,
    shape.k_aux,
    { f32: shape.coefficient },
    3 * shape.dispatches,
    shape.widths.length,
    0,
    0,
    ...widthWords(shape.widths),
  ]);
  return {
    label: "find_dead",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      step,
      uniform,
      tokens_since_fired,
      dead,
      control,
      planned_grids,
      grids,
      steering,
    ]),
    grid: [1, 1, 1],
    bytes: 4 * shape.d_sae,
    flops: 0,
  };
}
