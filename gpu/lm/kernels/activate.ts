import { bind } from "../../device/bind.ts";
import type { Dispatch } from "../../device/dispatch.ts";
import { flatLanes, type PlanContext } from "../../kernels/grid.ts";
import type { Activation } from "../model-spec.ts";
import { flatGrid } from "./context.ts";

export interface ActivateShape {
  rows: number;
  /** vec4f of a row. */
  stride: number;
  activation: Activation;
}

export interface ActivateBuffers {
  /** f32 [rows, 4·stride], changed in place. */
  y: GPUBuffer;
  /** f32 [rows, 4·stride] that the result is multiplied by; null: none. */
  up: GPUBuffer | null;
}

/** y = f(y), or f(y) · up. */
export async function planLmActivate(
  context: PlanContext,
  { rows, stride, activation }: ActivateShape,
  { y, up }: ActivateBuffers,
): Promise<Dispatch> {
  const { gpu, uniforms, step } = context;
  const pipeline = await gpu.pipelines.compute({
    shader: "lm_activate",
    conditions: { [activation]: true, gated: up !== null },
    constants: { WORKGROUP: flatLanes },
  });
  return {
    label: "activate",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniforms.add([stride]), y, up]),
    grid: flatGrid(context, rows * stride),
    bytes: (up === null ? 32 : 48) * rows * stride,
    flops: 4 * 20 * rows * stride,
  };
}
