import { bind } from "../../device/bind.ts";
import type { Dispatch } from "../../device/dispatch.ts";
import { flatLanes, type PlanContext } from "../../kernels/grid.ts";
import { flatGrid } from "./context.ts";

export interface EmbedShape {
  rows: number;
  /** vec4f of a row. */
  stride: number;
  /** Tokens whose rows are in W. */
  first: number;
  count: number;
  scale: number;
}

export interface EmbedBuffers {
  /** u32 [rows]. */
  ids: GPUBuffer;
  /** f32 [count, 4·stride]. */
  W: GPUBuffer;
  /** f32 [rows, 4·stride]; rows of the piece's tokens are written. */
  y: GPUBuffer;
}

/** y = scale · W_E[ids], for the tokens of one piece of the vocabulary. */
export async function planEmbed(
  context: PlanContext,
  { rows, stride, first, count, scale }: EmbedShape,
  { ids, W, y }: EmbedBuffers,
): Promise<Dispatch> {
  const { gpu, uniforms, step } = context;
  const pipeline = await gpu.pipelines.compute({ shader: "lm_embed", constants: { WORKGROUP: flatLanes } });
  const uniform = uniforms.add([stride, first, count, { f32: scale }]);
  return {
    label: "embed",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniform, ids, W, y]),
    grid: flatGrid(context, rows * stride),
    bytes: 32 * rows * stride,
    flops: 4 * rows * stride,
  };
}
