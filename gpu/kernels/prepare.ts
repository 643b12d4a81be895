import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { flatLanes, type PlanContext, spread } from "./grid.ts";

export interface PrepareShape {
  rows: number;
  d_in: number;
  /** vec4f per padded row. */
  stride: number;
}

export interface PrepareBuffers {
  /** f32 [rows, d_in]. */
  raw: GPUBuffer;
  /** f32 [rows, 4·stride]. */
  x: GPUBuffer;
  /** f32 [4·stride]; null: nothing is subtracted. */
  b_dec: GPUBuffer | null;
}

/** The encoder's input: the raw batch scaled, less b_dec, in padded rows. */
export async function planPrepare(
  { gpu, uniforms, step }: PlanContext,
  shape: PrepareShape,
  { raw, x, b_dec }: PrepareBuffers,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({
    shader: "prepare",
    conditions: { subtract_b_dec: b_dec !== null },
    constants: { WORKGROUP: flatLanes },
  });
  const uniform = uniforms.add([shape.d_in, shape.stride]);
  const elements = shape.rows * shape.stride;
  return {
    label: "prepare",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniform, raw, x, ...(b_dec === null ? [] : [b_dec])]),
    grid: spread(Math.ceil(elements / flatLanes), gpu.capabilities),
    bytes: 4 * shape.rows * shape.d_in + 16 * elements,
    flops: 2 * shape.rows * shape.d_in,
  };
}
