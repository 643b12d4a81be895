import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { flatLanes, type PlanContext, spread } from "./grid.ts";

export interface PrepareShape {
  /** Role, where there are two sides: "input" or "target". */
  label: string;
  rows: number;
  /** Columns of a raw row, and the first of this side. */
  raw_width: number;
  first: number;
  /** Columns of a hook point, vec4f of one padded, and how many there are. */
  width: number;
  stride: number;
  points: number;
}

export interface PrepareBuffers {
  /** f32 [rows, raw_width]. */
  raw: GPUBuffer;
  /** f32 [rows, points, 4·stride], written. */
  x: GPUBuffer;
  /** f32 [points + points·width]: scales, then means; or per token (shift, factor) f32 [rows, 2]. */
  normalization: { columns: GPUBuffer } | { tokens: GPUBuffer };
  /** f32 [points, 4·stride]; null: nothing is subtracted. */
  b_dec: GPUBuffer | null;
  /** f16 copy of x, written; null with precision f32. */
  halves: GPUBuffer | null;
}

/** One side of a step from the raw batch: normalised, less b_dec, in padded rows. */
export async function planPrepare(
  { gpu, uniforms, step }: PlanContext,
  shape: PrepareShape,
  { raw, x, normalization, b_dec, halves }: PrepareBuffers,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({
    shader: "prepare",
    conditions: {
      subtract_b_dec: b_dec !== null,
      half: halves !== null,
      token_norms: "tokens" in normalization,
    },
    constants: { WORKGROUP: flatLanes },
  });
  const uniform = uniforms.add([shape.raw_width, shape.first, shape.width, shape.stride, shape.points]);
  const elements = shape.rows * shape.points * shape.stride;
  return {
    label: `prepare/${shape.label}`,
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      step,
      uniform,
      raw,
      x,
      "tokens" in normalization ? normalization.tokens : normalization.columns,
      b_dec,
      halves,
    ]),
    grid: spread(Math.ceil(elements / flatLanes), gpu.capabilities),
    bytes: 4 * shape.rows * shape.points * shape.width + (halves === null ? 16 : 24) * elements,
    flops: 2 * shape.rows * shape.points * shape.width,
  };
}
