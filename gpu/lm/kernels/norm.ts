import { bind } from "../../device/bind.ts";
import type { Dispatch } from "../../device/dispatch.ts";
import { type PlanContext, rowLanes, spread, subgroupLanes } from "../../kernels/grid.ts";
import { groupPitch, type Layout } from "../layout.ts";
import type { NormSpec } from "../model-spec.ts";

export interface NormShape {
  label: string;
  rows: number;
  /** Each group of a row is normalised by itself. */
  layout: Layout;
  norm: NormSpec;
}

export interface NormBuffers {
  /** f32 [rows, pitch]; null: y is normalised in place. */
  x: GPUBuffer | null;
  /** f32 [pitch of a group]; null: factors are 1. */
  w: GPUBuffer | null;
  /** f32 [pitch of a group]; null: none. */
  b: GPUBuffer | null;
  /** f32 [rows, pitch], written; padding is zero. */
  y: GPUBuffer;
}

/** LayerNorm or RMSNorm of each row, or of each head of it. */
export async function planNorm(
  { gpu, uniforms, step }: PlanContext,
  { label, rows, layout, norm }: NormShape,
  { x, w, b, y }: NormBuffers,
): Promise<Dispatch> {
  const lockstep = subgroupLanes(gpu.capabilities);
  const pipeline = await gpu.pipelines.compute({
    shader: "lm_norm",
    conditions: {
      centred: norm.kind === "layer",
      in_place: x === null,
      weighted: w !== null,
      biased: b !== null,
      lockstep: lockstep !== null,
    },
    constants: { WORKGROUP: lockstep ?? rowLanes(gpu.capabilities) },
  });
  const stride = groupPitch(layout) / 4;
  const uniform = uniforms.add([layout.size, stride, layout.groups, { f32: norm.eps }, { f32: norm.offset }]);
  const numbers = rows * layout.groups * 4 * stride;
  return {
    label,
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniform, y, x, w, b]),
    grid: spread(rows * layout.groups, gpu.capabilities),
    bytes: 8 * numbers,
    flops: 8 * numbers,
  };
}
