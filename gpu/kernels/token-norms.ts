import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { flatLanes, type PlanContext, spread } from "./grid.ts";

export interface TokenNormsShape {
  rows: number;
  width: number;
  method: "constant_norm_rescale" | "layer_norm";
}

export interface TokenNormsBuffers {
  /** f32 [rows, width]. */
  raw: GPUBuffer;
  /** (shift, factor) f32 [rows, 2], written. */
  norms: GPUBuffer;
}

/** Normalisation of each token by itself. */
export async function planTokenNorms(
  { gpu, uniforms, step }: PlanContext,
  { rows, width, method }: TokenNormsShape,
  { raw, norms }: TokenNormsBuffers,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({
    shader: "token_norms",
    conditions: { layer_norm: method === "layer_norm" },
    constants: { WORKGROUP: flatLanes },
  });
  return {
    label: "token_norms",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniforms.add([width]), raw, norms]),
    grid: spread(Math.ceil(rows / flatLanes), gpu.capabilities),
    bytes: 8 * rows * width,
    flops: 4 * rows * width,
  };
}
