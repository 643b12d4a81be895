import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { flatLanes, type PlanContext, singleGroupLanes, spread } from "./grid.ts";

/** Digits of a 31-bit key, the highest first: lowest bit, number of values, first word of its histogram. */
const digits = [
  { shift: 20, values: 2_048, first: 0 },
  { shift: 10, values: 1_024, first: 2_048 },
  { shift: 0, values: 1_024, first: 3_072 },
] as const;

/** Bytes of the histograms, which must be zero before a step, and of the selection (shaders/batch_select.wgsl). */
export const histogramBytes = 4 * 4_096;
export const selectionBytes = 16;

/** Elements of z that an invocation counts. */
const share = 16;

export interface BatchSelectBuffers {
  /** f32 [rows, d_sae]. */
  z: GPUBuffer;
  /** f32 [d_sae], by which activations are multiplied for ranking; null: they are not. */
  norms: GPUBuffer | null;
  histograms: GPUBuffer;
  /** Written: the key of the smallest activation that is kept. */
  selection: GPUBuffer;
}

/** The K largest positive activations of the batch, K being the step's k. */
export async function planBatchSelect(
  { gpu, uniforms, step }: PlanContext,
  { rows, d_sae }: { rows: number; d_sae: number },
  { z, norms, histograms, selection }: BatchSelectBuffers,
): Promise<Dispatch[]> {
  const planned = await Promise.all(
    digits.map(async ({ shift, values, first }) => {
      const top = first === 0;
      const [count, pick] = await Promise.all([
        gpu.pipelines.compute({
          shader: "batch_select",
          entryPoint: "count",
          conditions: { top, rescaled: norms !== null },
          constants: { WORKGROUP: flatLanes },
        }),
        gpu.pipelines.compute({
          shader: "batch_select",
          entryPoint: "pick",
          conditions: { top },
          constants: { WORKGROUP: singleGroupLanes(gpu.capabilities) },
        }),
      ]);
      const uniform = uniforms.add([d_sae, shift, values, first]);
      const counting: Dispatch = {
        label: "batch_select/count",
        pipeline: count,
        bindGroup: bind(gpu.device, count, [step, uniform, histograms, top ? null : selection, z, norms]),
        grid: spread(Math.ceil((rows * d_sae) / (share * flatLanes)), gpu.capabilities),
        bytes: 4 * rows * d_sae,
        flops: 0,
      };
      const picking: Dispatch = {
        label: "batch_select/pick",
        pipeline: pick,
        bindGroup: bind(gpu.device, pick, [top ? step : null, uniform, histograms, selection]),
        grid: [1, 1, 1],
        bytes: 4 * values,
        flops: 0,
      };
      return [counting, picking];
    }),
  );
  return planned.flat();
}
