import { bind } from "../../device/bind.ts";
import type { Dispatch } from "../../device/dispatch.ts";
import { flatLanes, type PlanContext } from "../../kernels/grid.ts";
import { numberBytes, type Precision } from "../precision.ts";
import { flatGrid } from "./context.ts";

export interface EmbedShape {
  rows: number;
  /** vec4f of a row. */
  stride: number;
  /** Tokens whose rows are in W. */
  first: number;
  count: number;
  scale: number;
  /** How W is stored; default: f32. */
  stored?: Precision;
}

export interface EmbedBuffers {
  /** u32 [rows]. */
  ids: GPUBuffer;
  /** f32, f16 or 8-bit whole numbers [count, 4·stride]. */
  W: GPUBuffer;
  /** f32 [count], factors of the rows of W where it is of 8 bits. */
  scales?: GPUBuffer | null;
  /** f32 [rows, 4·stride]; rows of the piece's tokens are written. */
  y: GPUBuffer;
}

/** y = scale · W_E[ids], for the tokens of one piece of the vocabulary. */
export async function planEmbed(
  context: PlanContext,
  { rows, stride, first, count, scale, stored = "f32" }: EmbedShape,
  { ids, W, scales = null, y }: EmbedBuffers,
): Promise<Dispatch> {
  const { gpu, uniforms, step } = context;
  const pipeline = await gpu.pipelines.compute({
    shader: "lm_embed",
    conditions: { half: stored === "f16", int8: stored === "int8" },
    constants: { WORKGROUP: flatLanes },
  });
  const uniform = uniforms.add([stride, first, count, { f32: scale }]);
  return {
    label: "embed",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniform, ids, W, y, scales]),
    grid: flatGrid(context, rows * stride),
    bytes: (16 + 4 * numberBytes[stored]) * rows * stride,
    flops: 4 * rows * stride,
  };
}
