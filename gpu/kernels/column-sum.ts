import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { flatLanes, type PlanContext, spread } from "./grid.ts";

/** How rows are cut into blocks that are summed in parallel, at most 128 of them. */
export interface Blocks {
  rows_per_block: number;
  blocks: number;
}

export function blocksOf(rows: number): Blocks {
  const rows_per_block = Math.max(64, Math.ceil(rows / 128));
  return { rows_per_block, blocks: Math.ceil(rows / rows_per_block) };
}

export interface ColumnSumShape {
  label: string;
  rows: number;
  /** vec4f per row. */
  stride: number;
}

export interface ColumnSumBuffers {
  /** f32 [rows, 4·stride]. */
  matrix: GPUBuffer | GPUBufferBinding;
  /** f32 [blocks, 4·stride], written. */
  sums: GPUBuffer;
  /** The rows are the batch's tokens; or every row has a weight, f32 [rows]. */
  rows: "batch" | { weights: GPUBufferBinding };
}

/** Column sums in blocks of rows, in a fixed order. */
export async function planColumnSum(
  { gpu, uniforms, step }: PlanContext,
  shape: ColumnSumShape,
  { matrix, sums, rows }: ColumnSumBuffers,
): Promise<Dispatch> {
  const batch = rows === "batch";
  const pipeline = await gpu.pipelines.compute({
    shader: "column_sum",
    conditions: { batch, weighted: !batch },
    constants: { WORKGROUP: flatLanes },
  });
  const { rows_per_block, blocks } = blocksOf(shape.rows);
  const uniform = uniforms.add([shape.rows, shape.stride, rows_per_block, blocks]);
  const elements = 4 * shape.rows * shape.stride;
  return {
    label: `column_sum/${shape.label}`,
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [uniform, matrix, sums, batch ? step : rows.weights]),
    grid: spread(Math.ceil((blocks * shape.stride) / flatLanes), gpu.capabilities),
    bytes: 4 * elements,
    flops: (batch ? 1 : 2) * elements,
  };
}
