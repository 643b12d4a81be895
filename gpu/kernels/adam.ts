import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { flatLanes, type PlanContext, rowLanes, spread } from "./grid.ts";

export interface AdamShape {
  /** Name of the tensor. */
  tensor: string;
  /** vec4f in the tensor and in one of its rows. */
  count: number;
  stride: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Scales every row back to norm 1. */
  unit_rows: boolean;
  /** Holds every element at or above zero. */
  nonnegative: boolean;
  /** Decay of the running mean; null: none is kept. */
  ema_decay: number | null;
}

export interface AdamBuffers {
  /** All f32 [4·count]. */
  parameters: GPUBufferBinding;
  gradients: GPUBufferBinding;
  first_moments: GPUBufferBinding;
  second_moments: GPUBufferBinding;
  /** Running mean of the parameters; used with ema_decay. */
  means: GPUBufferBinding;
  /** f16 copy of the parameters, written; null: none is kept. */
  halves: GPUBuffer | null;
  control: GPUBuffer;
}

/** torch.optim.Adam on one tensor, all of its elements, with the clipped gradient. */
export async function planAdam(
  { gpu, uniforms, step }: PlanContext,
  shape: AdamShape,
  { parameters, gradients, first_moments, second_moments, means, halves, control }: AdamBuffers,
): Promise<Dispatch> {
  const lanes = shape.unit_rows ? rowLanes(gpu.capabilities) : flatLanes;
  const pipeline = await gpu.pipelines.compute({
    shader: "adam",
    entryPoint: shape.unit_rows ? "unit_rows" : "main",
    conditions: {
      nonnegative: shape.nonnegative,
      averaged: shape.ema_decay !== null,
      half: halves !== null,
    },
    constants: { WORKGROUP: lanes },
  });
  const uniform = uniforms.add([
    shape.count,
    shape.stride,
    { f32: shape.beta1 },
    { f32: shape.beta2 },
    { f32: 1 - shape.beta1 },
    { f32: 1 - shape.beta2 },
    { f32: shape.epsilon },
    { f32: shape.ema_decay ?? 0 },
  ]);
  const groups = shape.unit_rows ? shape.count / shape.stride : Math.ceil(shape.count / lanes);
  return {
    label: `adam/${shape.tensor}`,
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      step,
      uniform,
      parameters,
      gradients,
      first_moments,
      second_moments,
      control,
      shape.ema_decay === null ? null : means,
      halves,
    ]),
    grid: spread(groups, gpu.capabilities),
    bytes: (7 * 16 + (shape.ema_decay === null ? 0 : 32) + (halves === null ? 0 : 8)) * shape.count,
    flops: (shape.unit_rows ? 17 : 14) * 4 * shape.count,
  };
}
