import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import { flatLanes, type PlanContext, spread } from "./grid.ts";

/** When a feature is active, and what that is read from. */
export type ActivationRule =
  | { rule: "standard" }
  /** b_gate, b_mag, r_mag: f32 [3, feature_stride]. */
  | { rule: "gated"; parameters: GPUBuffer }
  /** b_enc, threshold: f32 [2, feature_stride]. */
  | { rule: "jumprelu"; parameters: GPUBuffer; bandwidth: number }
  /** The batch's selection (batch-select.ts). */
  | { rule: "batch"; selection: GPUBuffer; norms: GPUBuffer | null }
  /** BatchTopK's inference threshold. */
  | { rule: "threshold"; control: GPUBuffer; norms: GPUBuffer | null };

export interface ActivateShape {
  rows: number;
  d_sae: number;
  feature_stride: number;
  /** Words of a plane. */
  plane: number;
}

export interface ActivateBuffers {
  /** f32 [rows, d_sae]. */
  z: GPUBuffer;
  /** u32 planes of [ceil(rows / 32), d_sae]; the first is written, of gated and jumprelu the second too. */
  words: GPUBuffer;
}

/** Bits of the active features of every token. */
export async function planActivate(
  { gpu, uniforms, step }: PlanContext,
  { rows, d_sae, feature_stride, plane }: ActivateShape,
  activation: ActivationRule,
  { z, words }: ActivateBuffers,
): Promise<Dispatch> {
  const { rule } = activation;
  const norms = rule === "batch" || rule === "threshold" ? activation.norms : null;
  const pipeline = await gpu.pipelines.compute({
    shader: "activate",
    conditions: { [rule]: true, rescaled: norms !== null },
    constants: { WORKGROUP: flatLanes },
  });
  const halfBandwidth = rule === "jumprelu" ? activation.bandwidth / 2 : 0;
  const uniform = uniforms.add([d_sae, feature_stride, plane, { f32: halfBandwidth }]);
  return {
    label: "activate",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniform, z, words, readBy(activation), norms]),
    grid: spread(Math.ceil((Math.ceil(rows / 32) * d_sae) / flatLanes), gpu.capabilities),
    bytes: 4 * rows * d_sae + 4 * plane,
    flops: 0,
  };
}

function readBy(activation: ActivationRule): GPUBuffer | null {
  switch (activation.rule) {
    case "standard":
      return null;
    case "gated":
    case "jumprelu":
      return activation.parameters;
    case "batch":
      return activation.selection;
    case "threshold":
      return activation.control;
  }
}
