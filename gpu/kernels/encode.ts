import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import type { Capabilities } from "../device/gpu.ts";
import type { ShaderName } from "../device/shaders.ts";
import { type PlanContext, spread } from "./grid.ts";

export interface EncodeShape {
  d_in: number;
  d_sae: number;
  /** vec4f per padded row of x and W_enc. */
  stride: number;
  /** The chunk of tokens: its first, and how many. */
  first_row: number;
  rows: number;
}

export interface EncodeBuffers {
  /** f32 [batch, 4·stride]. */
  x: GPUBuffer;
  /** f32 [d_sae, 4·stride]. */
  W_enc: GPUBuffer;
  b_enc: GPUBuffer;
  /** f32 [rows, d_sae]. */
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

/** Pre-activations of a chunk of tokens: the one dense product of a step. Marks a step whose result is not finite. */
export async function planEncode(
  { gpu, uniforms, step }: PlanContext,
  shape: EncodeShape,
  { x, W_enc, b_enc, z, counters }: EncodeBuffers,
): Promise<Dispatch> {
  const variant = chooseVariant(gpu.capabilities);
  const pipeline = await gpu.pipelines.compute({ shader: variant.shader });
  const featureGroups = Math.ceil(shape.d_sae / variant.features);
  const uniform = uniforms.add([shape.d_sae, shape.stride, shape.first_row, shape.rows, featureGroups]);
  return {
    label: "encode",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniform, x, W_enc, b_enc, z, counters]),
    grid: spread(featureGroups * Math.ceil(shape.rows / variant.tokens), gpu.capabilities),
    bytes: 4 * (shape.rows * shape.d_in + shape.d_sae * (shape.d_in + 1) + shape.rows * shape.d_sae),
    flops: 2 * shape.rows * shape.d_sae * shape.d_in,
  };
}
