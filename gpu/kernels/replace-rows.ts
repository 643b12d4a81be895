import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import type { SaeNormalization } from "../sae/sae.ts";
import type { CopyContext } from "./copy-rows.ts";
import { rowLanes, spread, subgroupLanes } from "./grid.ts";

export interface ReplaceRowsShape {
  /** Most rows of one use. */
  rows: number;
  width: number;
  /** f32 of a padded row of the reconstruction and of the errors. */
  pitch: number;
  /** How y lies: f32 of a row; numbers of a group, and f32 of a padded one. */
  y: { pitch: number; size: number; groupPitch: number };
  normalization: SaeNormalization;
}

export interface ReplaceRowsBuffers {
  /** f32 [rows, pitch], in the SAE's normalised space. */
  reconstruction: GPUBuffer;
  /** f32 [rows, width]: what should come out. */
  targets: GPUBuffer;
  /** f32 [width]: mean of the targets. */
  mean: GPUBuffer;
  /** u32: row of y for each. */
  list: GPUBuffer;
  y: GPUBuffer;
  /** f32 [rows, pitch], written. */
  errors: GPUBuffer;
  /** f32 [entries of the list, 8], written: Σ e², Σ (x − mean)², Σ x², Σ x̂², Σ x x̂. */
  statistics: GPUBuffer;
  /** (shift, factor) f32 [rows, 2]; null where tokens are not normalised. */
  norms: GPUBuffer | null;
}

/** Reconstructed rows in the place of a model's own, and what they are off by. */
export async function planReplaceRows(
  { gpu, uniforms, range }: CopyContext,
  { rows, width, pitch, y, normalization }: ReplaceRowsShape,
  buffers: ReplaceRowsBuffers,
): Promise<Dispatch> {
  const lockstep = subgroupLanes(gpu.capabilities);
  const pipeline = await gpu.pipelines.compute({
    shader: "replace_rows",
    conditions: {
      layer_norm: normalization === "layer_norm",
      constant_norm: normalization === "constant_norm_rescale",
      lockstep: lockstep !== null,
    },
    constants: { WORKGROUP: lockstep ?? rowLanes(gpu.capabilities) },
  });
  return {
    label: "replace rows",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      range,
      uniforms.add([width, pitch, y.pitch, y.size, y.groupPitch]),
      buffers.reconstruction,
      buffers.targets,
      buffers.mean,
      buffers.list,
      buffers.y,
      buffers.errors,
      buffers.statistics,
      buffers.norms,
    ]),
    grid: spread(rows, gpu.capabilities),
    bytes: 16 * rows * width,
    flops: 11 * rows * width,
  };
}
