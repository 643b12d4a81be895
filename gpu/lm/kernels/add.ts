import { bind } from "../../device/bind.ts";
import type { Dispatch } from "../../device/dispatch.ts";
import { flatLanes, type PlanContext } from "../../kernels/grid.ts";
import { flatGrid } from "./context.ts";

export interface AddShape {
  label: string;
  rows: number;
  /** vec4f of a row. */
  stride: number;
  /** Rows of x, which belong to positions and begin again with each sequence; null: it has one for each of y's. */
  period: number | null;
}

export interface AddBuffers {
  /** f32 [period or rows, 4·stride]. */
  x: GPUBuffer;
  /** f32 [rows, 4·stride]; added to. */
  y: GPUBuffer;
}

/** y[t] += x[t], or x[position of t mod period]. */
export async function planAdd(
  context: PlanContext,
  { label, rows, stride, period }: AddShape,
  { x, y }: AddBuffers,
): Promise<Dispatch> {
  const { gpu, uniforms, step } = context;
  const pipeline = await gpu.pipelines.compute({
    shader: "lm_add",
    conditions: { repeated: period !== null },
    constants: { WORKGROUP: flatLanes },
  });
  return {
    label,
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniforms.add([stride, period ?? rows]), x, y]),
    grid: flatGrid(context, rows * stride),
    bytes: 48 * rows * stride,
    flops: 4 * rows * stride,
  };
}
