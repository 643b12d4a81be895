import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { type PlanContext, rowLanes, spread } from "./grid.ts";

export interface SelectShape {
  d_sae: number;
  /** Selected per token; for AuxK the most that can be. */
  k: number;
  /** The chunk of tokens that z holds. */
  first_row: number;
  rows: number;
}

export interface SelectBuffers {
  /** f32 [rows, d_sae]. */
  z: GPUBuffer;
  /** u32 and f32 [batch, k]: features ascending within a token, and their activations. */
  indices: GPUBuffer;
  values: GPUBuffer;
  /** u32 [ceil(batch / 32), d_sae], zero before: one bit per token and feature. */
  active_words: GPUBuffer;
  /** Selects among the dead features only, keeps negative values. */
  aux: { dead: GPUBuffer; control: GPUBuffer } | null;
}

/** The exact k largest pre-activations per token; ReLU on them, except for AuxK. */
export async function planSelect(
  { gpu, uniforms, step }: PlanContext,
  shape: SelectShape,
  { z, indices, values, active_words, aux }: SelectBuffers,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({
    shader: "select",
    conditions: { aux: aux !== null },
    constants: { WORKGROUP: rowLanes(gpu.capabilities) },
  });
  const uniform = uniforms.add([shape.d_sae, shape.k, shape.first_row, shape.rows]);
  return {
    label: aux === null ? "select" : "aux/select",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      step,
      uniform,
      z,
      indices,
      values,
      active_words,
      ...(aux === null ? [] : [aux.dead, aux.control]),
    ]),
    grid: spread(shape.rows, gpu.capabilities),
    bytes: 4 * shape.rows * (shape.d_sae + 3 * shape.k),
    flops: 0,
  };
}
