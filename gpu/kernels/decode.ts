import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { type PlanContext, rowLanes, spread } from "./grid.ts";

export interface DecodeShape {
  rows: number;
  d_in: number;
  stride: number;
  k: number;
}

export interface DecodeBuffers {
  /** f32 [d_sae, 4·stride]. */
  W_dec: GPUBuffer;
  /** [rows, k]. */
  indices: GPUBuffer;
  values: GPUBuffer;
  /** f32 [rows, k], written: the loss's gradient at the selected pre-activations. */
  gradients: GPUBuffer;
  /** f32 [rows, 4·stride] of errors, then, with AuxK, as many of the auxiliary reconstruction. */
  errors: GPUBuffer;
  /** The encoder's input, and b_dec where the input does not already contain −b_dec; or AuxK's control. */
  target: { x: GPUBuffer; b_dec: GPUBuffer | null } | { control: GPUBuffer };
}

/** Reconstruction error of every token and the gradient at its active features. */
export async function planDecode(
  { gpu, uniforms, step }: PlanContext,
  shape: DecodeShape,
  { W_dec, indices, values, gradients, errors, target }: DecodeBuffers,
): Promise<Dispatch> {
  const aux = "control" in target;
  const b_dec = aux ? null : target.b_dec;
  const pipeline = await gpu.pipelines.compute({
    shader: "decode",
    conditions: { aux, add_b_dec: b_dec !== null },
    constants: { WORKGROUP: rowLanes(gpu.capabilities) },
  });
  const uniform = uniforms.add([shape.stride, shape.k, shape.rows * shape.stride]);
  const entries = shape.rows * shape.k;
  return {
    label: aux ? "aux/decode" : "decode",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      step,
      uniform,
      W_dec,
      indices,
      values,
      gradients,
      errors,
      aux ? target.control : target.x,
      ...(b_dec === null ? [] : [b_dec]),
    ]),
    grid: spread(shape.rows, gpu.capabilities),
    bytes: 4 * (entries * (shape.d_in + 3) + 2 * shape.rows * shape.d_in),
    flops: 4 * entries * shape.d_in,
  };
}
