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
}

export interface EncodeBuffers {
  /** f32 or f16 [rows, 4·stride]. */
  x: GPUBuffer;
  /** f32 or f16 [d_sae, 4·stride]. */
  W: GPUBuffer;
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
  { label, rows, d_sae, stride, half }: EncodeShape,
  { x, W, bias, z, counters }: EncodeBuffers,
): Promise<Dispatch> {
  const variant = chooseVariant(gpu.capabilities);
  const pipeline = await gpu.pipelines.compute({
    shader: variant.shader,
    conditions: { half, biased: bias !== null },
  });
  const featureGroups = Math.ceil(d_sae / variant.features);
  const uniform = uniforms.add([d_sae, stride, featureGroups]);
  const operand = half ? 8 : 16;
  return {
    label,
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniform, x, W, z, counters, bias]),
    grid: spread(featureGroups * Math.ceil(rows / variant.tokens), gpu.capabilities),
    bytes: operand * stride * (rows + d_sae) + 4 * d_sae + 4 * rows * d_sae,
    flops: 8 * rows * d_sae * stride,
  };
}
