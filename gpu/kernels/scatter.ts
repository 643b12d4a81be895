import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { flatLanes, type PlanContext, spread } from "./grid.ts";

/** Bytes of one (token, value, gradient) entry (shaders/entry.wgsl). */
export const entryBytes = 12;

export interface ScatterShape {
  rows: number;
  d_sae: number;
  k: number;
}

export interface ScatterBuffers {
  /** [rows, k]. */
  indices: GPUBuffer;
  values: GPUBuffer;
  gradients: GPUBuffer;
  active_words: GPUBuffer;
  before: GPUBuffer;
  segments: GPUBuffer;
  /** entryBytes × (rows·k + AuxK's), written in feature order. */
  entries: GPUBuffer;
  /** AuxK's control: only the first `k_aux` slots of a token count, whatever their sign. */
  control: GPUBuffer | null;
}

/** Second half of the counting sort: entries to their feature's segment, tokens ascending. */
export async function planScatter(
  { gpu, uniforms, step }: PlanContext,
  shape: ScatterShape,
  { indices, values, gradients, active_words, before, segments, entries, control }: ScatterBuffers,
): Promise<Dispatch> {
  const aux = control !== null;
  const pipeline = await gpu.pipelines.compute({
    shader: "scatter",
    conditions: { aux },
    constants: { WORKGROUP: flatLanes },
  });
  const uniform = uniforms.add([shape.d_sae, shape.k, aux ? shape.d_sae : 0]);
  const slots = shape.rows * shape.k;
  return {
    label: aux ? "aux/scatter" : "scatter",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      step,
      uniform,
      indices,
      values,
      gradients,
      active_words,
      before,
      segments,
      entries,
      ...(aux ? [control] : []),
    ]),
    grid: spread(Math.ceil(slots / flatLanes), gpu.capabilities),
    bytes: slots * (12 + 16 + entryBytes),
    flops: 0,
  };
}
