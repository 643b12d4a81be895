import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { blocksOf } from "./column-sum.ts";
import type { ErrorRegions } from "./decode.ts";
import { flatLanes, type PlanContext, spread } from "./grid.ts";

export interface MomentsShape {
  rows: number;
  stride: number;
  regions: ErrorRegions;
  /** vec4f of a region of errors. */
  region_size: number;
  /** Nested dictionaries. */
  levels: number;
  aux: { levels: number; region: number };
}

export interface MomentsBuffers {
  /** What is reconstructed, f32 [rows, 4·stride]; a constant added to every row changes nothing. */
  y: GPUBuffer;
  errors: GPUBuffer;
  /** Column sums by block, f32 [blocks, 4·stride]; of the errors, those of their first region. */
  y_sums: GPUBuffer;
  error_sums: GPUBuffer;
  control: GPUBuffer;
  /** f32 [blocks, stride, 8], written: Σ (y − ȳ)², Σ (e − ē)², Σ e², mse_loss's sum; aux_loss's sum. */
  moments: GPUBuffer;
}

/** Sums of squared deviations of the target and of the error, by two passes, and what the losses sum. */
export async function planMoments(
  { gpu, uniforms, step }: PlanContext,
  shape: MomentsShape,
  { y, errors, y_sums, error_sums, control, moments }: MomentsBuffers,
): Promise<Dispatch> {
  const aux = shape.aux.levels > 0;
  const pipeline = await gpu.pipelines.compute({
    shader: "moments",
    conditions: { [shape.regions]: true, aux },
    constants: { WORKGROUP: flatLanes },
  });
  const { rows_per_block, blocks } = blocksOf(shape.rows);
  const elements = 4 * shape.rows * shape.stride;
  const uniform = uniforms.add([
    shape.stride,
    rows_per_block,
    blocks,
    shape.region_size,
    shape.levels,
    shape.aux.levels,
    shape.aux.region,
  ]);
  return {
    label: "moments",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      step,
      uniform,
      y,
      errors,
      y_sums,
      error_sums,
      moments,
      aux ? control : null,
    ]),
    grid: spread(Math.ceil((blocks * shape.stride) / flatLanes), gpu.capabilities),
    bytes: 4 * 3 * elements,
    flops: 10 * elements,
  };
}
