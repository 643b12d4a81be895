import { bind } from "../../device/bind.ts";
import type { Dispatch } from "../../device/dispatch.ts";
import { flatLanes, type PlanContext, spread } from "../../kernels/grid.ts";
import { groupPitch, plain } from "../layout.ts";

export interface AttentionShape {
  rows: number;
  /** Positions of a sequence; rows are whole sequences, or some that follow the step's first position. */
  length: number;
  n_heads: number;
  n_kv_heads: number;
  d_head: number;
  /** Factor of query · key. */
  scale: number;
  /** Scores s become cap · tanh(s / cap); null: they stay. */
  cap: number | null;
  /** Last positions a query attends to, its own included; null: all. */
  window: number | null;
}

export interface AttentionBuffers {
  /** f32 [rows, n_heads, padded d_head]. */
  q: GPUBuffer;
  /** f32 [rows, n_kv_heads, padded d_head], from the sequence's first position on. */
  k: GPUBuffer;
  v: GPUBuffer;
  /** f32 [rows, n_heads, padded d_head], written. */
  z: GPUBuffer;
}

/** A window that leaves nothing out. */
const everything = 2 ** 31;

/** Queries of a workgroup on a CPU adapter: all take the keys of the last, so that many would waste much. */
const quadLanes = 8;

/** Causal attention with grouped queries: z = softmax(cap(scale · q kᵀ)) v. */
export async function planAttention(
  { gpu, uniforms, step }: PlanContext,
  { rows, length, n_heads, n_kv_heads, d_head, scale, cap, window }: AttentionShape,
  { q, k, v, z }: AttentionBuffers,
): Promise<Dispatch> {
  const head = groupPitch(plain(d_head));
  const quads = gpu.capabilities.software && gpu.capabilities.subgroup_min_size >= 4;
  const lanes = quads ? quadLanes : flatLanes;
  const pipeline = await gpu.pipelines.compute({
    shader: "lm_attention",
    conditions: { capped: cap !== null, quads },
    constants: { STRIDE: head / 4, WORKGROUP: lanes },
  });
  const tiles = Math.ceil(length / lanes);
  const uniform = uniforms.add([
    n_heads,
    n_heads / n_kv_heads,
    length,
    window ?? everything,
    tiles,
    { f32: scale },
    { f32: cap ?? 1 },
  ]);
  // Keys a query attends to, on average.
  const keys = window === null ? (length + 1) / 2 : Math.min(window, (length + 1) / 2);
  return {
    label: "attention",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniform, q, k, v, z]),
    grid: spread((rows / length) * n_heads * tiles, gpu.capabilities),
    bytes: 8 * rows * (n_heads + n_kv_heads) * head,
    flops: 4 * rows * n_heads * head * keys,
  };
}
