import { bind } from "../../device/bind.ts";
import type { Dispatch } from "../../device/dispatch.ts";
import type { EncodeBuffers } from "../../kernels/encode.ts";
import { type PlanContext, rowLanes, spread, subgroupLanes } from "../../kernels/grid.ts";
import { numberBytes, type Precision } from "../precision.ts";

export interface RowProductShape {
  label: string;
  /** A multiple of 4. */
  outputs: number;
  /** vec4f of x and of a padded row of W. */
  stride: number;
  stored: Precision;
}

/**
 * z = x Wᵀ + bias for a single row, of buffers as `planEncode` has them. A tile of several rows would be computed for
 * nothing. Marks a step whose result is not finite.
 */
export async function planRowProduct(
  { gpu, uniforms, step }: PlanContext,
  { label, outputs, stride, stored }: RowProductShape,
  { x, W, scales = null, bias, z, counters }: EncodeBuffers,
): Promise<Dispatch> {
  const lockstep = subgroupLanes(gpu.capabilities);
  const pipeline = await gpu.pipelines.compute({
    shader: "lm_row",
    conditions: {
      half_W: stored === "f16",
      int8_W: stored === "int8",
      biased: bias !== null,
      lockstep: lockstep !== null,
    },
    constants: { WORKGROUP: lockstep ?? rowLanes(gpu.capabilities) },
  });
  const groups = outputs / 4;
  return {
    label,
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      ...[step, uniforms.add([groups, stride]), x, W, z, counters],
      ...[bias, scales],
    ]),
    grid: spread(groups, gpu.capabilities),
    bytes: 4 * numberBytes[stored] * outputs * stride + 16 * stride + 4 * outputs,
    flops: 8 * outputs * stride,
  };
}
