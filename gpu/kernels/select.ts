import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { type PlanContext, rowLanes, spread } from "./grid.ts";

export interface SelectShape {
  rows: number;
  d_sae: number;
  /** Room per token in the list: the most that is ever selected. */
  capacity: number;
  /** Selects so many times the step's k; without effect on AuxK. */
  factor: number;
  /** First word of the plane of bits. */
  plane: number;
}

export interface SelectBuffers {
  /** f32 [rows, d_sae]. */
  z: GPUBuffer;
  /** u32 [rows, capacity], written: features ascending within a token. */
  indices: GPUBuffer;
  /** u32 planes of [ceil(rows / 32), d_sae], zero before: one bit per token and feature. */
  words: GPUBuffer;
  /** u32 [rows], written; or AuxK, which selects among a level's dead features and takes negative values too. */
  list: { counts: GPUBuffer } | { dead: GPUBuffer; control: GPUBuffer; level: number };
  /** f32 [d_sae], by which activations are multiplied for ranking; null: they are not. */
  norms: GPUBuffer | null;
}

/** The exact k largest pre-activations per token. */
export async function planSelect(
  { gpu, uniforms, step }: PlanContext,
  shape: SelectShape,
  { z, indices, words, list, norms }: SelectBuffers,
): Promise<Dispatch> {
  const aux = "dead" in list;
  const pipeline = await gpu.pipelines.compute({
    shader: "select",
    conditions: { aux, rescaled: norms !== null },
    constants: { WORKGROUP: rowLanes(gpu.capabilities) },
  });
  const level = aux ? list.level : 0;
  const uniform = uniforms.add([shape.d_sae, shape.capacity, shape.factor, shape.plane, level]);
  return {
    label: aux ? "aux/select" : "select",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      step,
      uniform,
      z,
      indices,
      words,
      aux ? list.dead : list.counts,
      aux ? list.control : null,
      norms,
    ]),
    grid: spread(shape.rows, gpu.capabilities),
    bytes: 4 * shape.rows * (shape.d_sae + 2 * shape.capacity),
    flops: 0,
  };
}
