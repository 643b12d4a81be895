import { bind } from "../../device/bind.ts";
import type { Dispatch } from "../../device/dispatch.ts";
import { flatLanes, type PlanContext } from "../../kernels/grid.ts";
import { flatGrid } from "./context.ts";

export interface SoftcapShape {
  rows: number;
  /** vec4f of a row. */
  stride: number;
  cap: number;
}

/** y = cap · tanh(y / cap), f32 [rows, 4·stride], in place. */
export async function planSoftcap(
  context: PlanContext,
  { rows, stride, cap }: SoftcapShape,
  y: GPUBuffer,
): Promise<Dispatch> {
  const { gpu, uniforms, step } = context;
  const pipeline = await gpu.pipelines.compute({ shader: "lm_softcap", constants: { WORKGROUP: flatLanes } });
  return {
    label: "softcap",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniforms.add([stride, { f32: cap }]), y]),
    grid: flatGrid(context, rows * stride),
    bytes: 32 * rows * stride,
    flops: 4 * 12 * rows * stride,
  };
}
