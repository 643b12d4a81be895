import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { entryCursor } from "./control.ts";
import { flatLanes, type PlanContext, spread } from "./grid.ts";

export interface SegmentsShape {
  rows: number;
  d_sae: number;
  /** Which half of segments and entries: AuxK's entries begin at `first_entry`. */
  list: keyof typeof entryCursor;
  first_entry: number;
}

export interface SegmentsBuffers {
  /** u32 [ceil(rows / 32), d_sae]. */
  active_words: GPUBuffer;
  /** u32 [ceil(rows / 32), d_sae], written: tokens of the feature in earlier words. */
  before: GPUBuffer;
  /** (begin, count) u32 [2, d_sae]. */
  segments: GPUBuffer;
  counters: GPUBuffer;
  /** What is kept per feature: its age, its firing count, or nothing. */
  keep: { tokens_since_fired: GPUBuffer } | { firings: GPUBuffer } | null;
}

/** First half of the stable counting sort of (token, feature) pairs to feature order; keeps the dead counters. */
export async function planSegments(
  { gpu, uniforms, step }: PlanContext,
  shape: SegmentsShape,
  { active_words, before, segments, counters, keep }: SegmentsBuffers,
): Promise<Dispatch> {
  const train = keep !== null && "tokens_since_fired" in keep;
  const evaluate = keep !== null && "firings" in keep;
  const pipeline = await gpu.pipelines.compute({
    shader: "segments",
    conditions: { train, evaluate },
    constants: { WORKGROUP: flatLanes },
  });
  const firstSegment = shape.list === "main" ? 0 : shape.d_sae;
  const uniform = uniforms.add([shape.d_sae, entryCursor[shape.list], firstSegment, shape.first_entry]);
  return {
    label: shape.list === "main" ? "segments" : "aux/segments",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      step,
      uniform,
      active_words,
      before,
      segments,
      counters,
      ...(train ? [keep.tokens_since_fired] : evaluate ? [keep.firings] : []),
    ]),
    grid: spread(Math.ceil(shape.d_sae / flatLanes), gpu.capabilities),
    bytes: 8 * shape.d_sae * (Math.ceil(shape.rows / 32) + 2),
    flops: 0,
  };
}
