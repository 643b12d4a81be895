import { bind } from "../../device/bind.ts";
import type { Dispatch } from "../../device/dispatch.ts";
import { flatLanes, type PlanContext } from "../../kernels/grid.ts";
import { groupPitch, type Layout } from "../layout.ts";
import { flatGrid } from "./context.ts";

export interface RotaryShape {
  rows: number;
  /** Heads. */
  layout: Layout;
  /** Pairs that are turned in each head. */
  pairs: number;
  /** Positions of a sequence. */
  length: number;
}

export interface RotaryBuffers {
  /** (cos, sin) f32 [length, pairs, 2]. */
  table: GPUBuffer;
  /** f32 [rows, pitch], turned in place. */
  x: GPUBuffer;
}

/** Rotary positions of queries or keys, in rotate_half form. */
export async function planRotary(
  context: PlanContext,
  { rows, layout, pairs, length }: RotaryShape,
  { table, x }: RotaryBuffers,
): Promise<Dispatch> {
  const { gpu, uniforms, step } = context;
  const pipeline = await gpu.pipelines.compute({ shader: "lm_rotary", constants: { WORKGROUP: flatLanes } });
  const uniform = uniforms.add([layout.groups, groupPitch(layout), pairs, length]);
  const turned = rows * layout.groups * pairs;
  return {
    label: "rotary",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniform, table, x]),
    grid: flatGrid(context, turned),
    bytes: 16 * turned,
    flops: 6 * turned,
  };
}
