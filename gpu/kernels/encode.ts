import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import type { Capabilities } from "../device/gpu.ts";
import type { ShaderName } from "../device/shaders.ts";
import { type PlanContext, spread } from "./grid.ts";

export interface EncodeShape {
  label: string;
  rows: number;
  /** Features: rows of W. */
  d_sae: number;
  /** vec4f per padded row of x and W. */
  stride: number;
  /** x and W are f16. */
  half: boolean;
  /** How W is stored beside an x of f32; default: as x. */
  stored?: "f32" | "f16" | "int8";
}

export interface EncodeBuffers {
  /** f32 or f16 [rows, 4·stride]. */
  x: GPUBuffer;
  /** f32, f16 or 8-bit whole numbers [d_sae, 4·stride]. */
  W: GPUBuffer;
  /** f32 [d_sae], factors of the rows of W where it is of 8 bits. */
  scales?: GPUBuffer | null;
  /** f32 [d_sae]; null: none. */
  bias: GPUBufferBinding | null;
  /** f32 [rows, d_sae], written. */
  z: GPUBuffer;
  counters: GPUBuffer;
}

/** A variant's shader, and the tokens and features of one workgroup's tile. */
interface Variant {
  shader: ShaderName;
  tokens: number;
  features: number;
}

const flat: Variant = { shader: "encode", tokens: 32, features: 32 };
const quads: Variant = { shader: "encode_quads", tokens: 8, features: 64 };

/**
 * On a CPU adapter a load costs some ten times a multiply-add, whatever its pattern: sharing loads within quads of
 * lanes took 1024×128×1024 from 3.1 to 4.6 GFLOP/s (SwiftShader, two cores). Hardware has caches for that.
 */
function chooseVariant({ software, subgroup_min_size }: Capabilities): Variant {
  return software && subgroup_min_size >= 4 ? quads : flat;
}

/** z = x Wᵀ + bias: the one dense product of a step. Marks a step whose result is not finite. */
export async function planEncode(
  { gpu, uniforms, step }: PlanContext,
  { label, rows, d_sae, stride, half, stored = half ? "f16" : "f32" }: EncodeShape,
  { x, W, scales = null, bias, z, counters }: EncodeBuffers,
): Promise<Dispatch> {
  const variant = chooseVariant(gpu.capabilities);
  const pipeline = await gpu.pipelines.compute({
    shader: variant.shader,
    conditions: { half, half_W: stored === "f16", int8_W: stored === "int8", biased: bias !== null },
  });
  const featureGroups = Math.ceil(d_sae / variant.features);
  const uniform = uniforms.add([d_sae, stride, featureGroups]);
  const operand = half ? 8 : 16;
  const weight = { f32: 16, f16: 8, int8: 4 }[stored];
  return {
    label,
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniform, x, W, z, counters, bias, scales]),
    grid: spread(featureGroups * Math.ceil(rows / variant.tokens), gpu.capabilities),
    bytes: stride * (operand * rows + weight * d_sae) + 4 * d_sae + 4 * rows * d_sae,
    flops: 8 * rows * d_sae * stride,
  };
}
