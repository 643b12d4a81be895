import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { flatLanes, type PlanContext, spread } from "./grid.ts";

export interface FiringsBuffers {
  /** u32 [ceil(rows / 32), d_sae]. */
  words: GPUBuffer;
  control: GPUBuffer;
  /** u32 [d_sae], updated: the age of each feature, or how often it fired. */
  keep: { tokens_since_fired: GPUBuffer } | { firings: GPUBuffer };
}

/** Counts the activations of the batch; keeps the dead counters, or the firing counts of an evaluation. */
export async function planFirings(
  { gpu, uniforms, step }: PlanContext,
  { rows, d_sae }: { rows: number; d_sae: number },
  { words, control, keep }: FiringsBuffers,
): Promise<Dispatch> {
  const train = "tokens_since_fired" in keep;
  const pipeline = await gpu.pipelines.compute({
    shader: "firings",
    conditions: { train, evaluate: !train },
    constants: { WORKGROUP: flatLanes },
  });
  return {
    label: "firings",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      step,
      uniforms.add([d_sae]),
      words,
      control,
      train ? keep.tokens_since_fired : keep.firings,
    ]),
    grid: spread(Math.ceil(d_sae / flatLanes), gpu.capabilities),
    bytes: 4 * d_sae * (Math.ceil(rows / 32) + 2),
    flops: 0,
  };
}
