import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import type { Capabilities } from "../device/gpu.ts";
import { widthWords } from "./control.ts";
import { type PlanContext, spread } from "./grid.ts";

/** Which errors a step takes gradients against (shaders/decode.wgsl). */
export type ErrorRegions = "plain" | "nested" | "multi" | "gated";

export interface DecodeShape {
  rows: number;
  d_sae: number;
  /** vec4f per row of W_dec and errors. */
  stride: number;
  /** Room per token in the lists. */
  capacity: number;
  feature_stride: number;
  /** vec4f of a region of errors. */
  region_size: number;
  /** First word of the plane that the lists were made from. */
  plane: number;
  /** Rising, the last d_sae. */
  widths: readonly number[];
  /** W_dec is f16. */
  half: boolean;
}

export interface DecodeBuffers {
  /** f32 or f16 [d_sae, 4·stride]. */
  W_dec: GPUBuffer;
  z: GPUBuffer;
  /** u32 [rows, capacity]. */
  indices: GPUBuffer;
  /** f32 regions of [rows, 4·stride], written. */
  errors: GPUBuffer;
}

export interface MainDecode {
  regions: ErrorRegions;
  counts: GPUBuffer;
  words: GPUBuffer;
  /** f32 [rows, 4·stride]. */
  target: GPUBuffer;
  /** f32 [4·stride]; null where the target already contains −b_dec. */
  b_dec: GPUBuffer | null;
  /** W_skip x, f32 [rows, 4·stride]. */
  skipped: GPUBuffer | null;
  /** b_gate, b_mag, r_mag of gated. */
  parameters: GPUBuffer;
}

/** Errors of the reconstruction of every token. */
export async function planDecode(
  context: PlanContext,
  shape: DecodeShape,
  buffers: DecodeBuffers,
  main: MainDecode,
): Promise<Dispatch> {
  const { gpu, step } = context;
  const { regions } = main;
  const pipeline = await gpu.pipelines.compute({
    shader: "decode",
    conditions: {
      [regions]: true,
      half: shape.half,
      add_b_dec: main.b_dec !== null,
      skip: main.skipped !== null,
    },
    constants: tileOf(shape, gpu.capabilities),
  });
  return {
    label: "decode",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      step,
      uniform(context, shape, 0, 0),
      buffers.W_dec,
      buffers.z,
      buffers.indices,
      buffers.errors,
      main.counts,
      main.target,
      main.words,
      main.b_dec,
      main.skipped,
      regions === "gated" ? main.parameters : null,
    ]),
    ...cost(context, shape),
  };
}

/** AuxK: what is left of a level's error once its dead features explain what they can, times the loss's factor. */
export async function planAuxDecode(
  context: PlanContext,
  shape: DecodeShape,
  buffers: DecodeBuffers,
  { control, level, region }: { control: GPUBuffer; level: number; region: number },
): Promise<Dispatch> {
  const { gpu, step } = context;
  const pipeline = await gpu.pipelines.compute({
    shader: "decode",
    conditions: { aux: true, half: shape.half },
    constants: tileOf(shape, gpu.capabilities),
  });
  return {
    label: "aux/decode",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      step,
      uniform(context, shape, level, region),
      buffers.W_dec,
      buffers.z,
      buffers.indices,
      buffers.errors,
      control,
    ]),
    ...cost(context, shape),
  };
}

/**
 * Lanes of a workgroup, and columns that each sums in one walk over the features. A CPU adapter runs four lanes at once
 * and pays for every walk; hardware keeps its lanes busy with columns.
 */
function tileOf({ stride }: DecodeShape, { software }: Capabilities): { WORKGROUP: number; TILE: number } {
  const lanes = software ? 4 : 64;
  return { WORKGROUP: lanes, TILE: Math.min(8, Math.ceil(stride / lanes)) };
}

function uniform({ uniforms }: PlanContext, shape: DecodeShape, level: number, region: number) {
  return uniforms.add([
    shape.d_sae,
    shape.stride,
    shape.capacity,
    shape.region_size,
    level,
    shape.widths.length,
    region,
    shape.plane,
    shape.feature_stride,
    0,
    0,
    0,
    ...widthWords(shape.widths),
  ]);
}

/** Of full lists; how full they are only the GPU knows. */
function cost({ gpu }: PlanContext, shape: DecodeShape): Pick<Dispatch, "grid" | "bytes" | "flops"> {
  const entries = shape.rows * shape.capacity;
  return {
    grid: spread(shape.rows, gpu.capabilities),
    bytes: entries * ((shape.half ? 8 : 16) * shape.stride + 8) + 32 * shape.rows * shape.stride,
    flops: 8 * entries * shape.stride,
  };
}
