import { bufferUsage } from "../device/constants.ts";
import { BufferTooLargeError } from "../device/errors.ts";
import type { Capabilities, Gpu } from "../device/gpu.ts";
import { histogramBytes, selectionBytes } from "../kernels/batch-select.ts";
import { blocksOf } from "../kernels/column-sum.ts";
import { controlBytes, counterBytes } from "../kernels/control.ts";
import { featureSumRows } from "../kernels/feature-gradient.ts";
import { statisticsBytes } from "../kernels/statistics.ts";
import { steeringWords } from "../kernels/steer.ts";
import { stepUniformBytes } from "../kernels/step.ts";
import { uniformSlotBytes } from "../kernels/uniforms.ts";
import type { TrainingConfig } from "./config.ts";
import { auxDispatches, type StepSizes, weightSizes } from "./sizes.ts";

/** Kernel instances of the largest plan, with a training, an evaluation and AuxK at every level of 16. */
const uniformSlots = 128;

/** One buffer before it is allocated. `part` is its purpose, as the memory plan shows it. */
export interface BufferPlan {
  part: string;
  bytes: number;
  usage: GPUBufferUsageFlags;
}

/** Every buffer of a trainer, by name: what is shown before a run is what is then allocated. */
export function planBuffers(config: TrainingConfig, sizes: StepSizes) {
  const { rows, d_sae, stride_in, stride_out, feature_stride, parameters, half, base } = sizes;
  const { STORAGE, UNIFORM, COPY_SRC, COPY_DST, INDIRECT } = bufferUsage;
  const storage = (part: string, bytes: number, usage = 0): BufferPlan => ({
    part,
    // Buffers of a part that is switched off are still bound.
    bytes: Math.max(16, bytes),
    usage: STORAGE | usage,
  });
  const kept = (part: string, bytes: number) => storage(part, bytes, COPY_SRC | COPY_DST);
  const weights = weightSizes(sizes);
  const ema = config.ema_decay !== null;
  const normalized = config.normalize_activations;
  const perToken = normalized === "constant_norm_rescale" || normalized === "layer_norm";
  const batchSelected = base === "batchtopk" || base === "matryoshka_batchtopk";
  const penaltyNorms = base === "standard" && config.lp_norm !== 1;
  const subtracted = config.apply_b_dec_to_input;
  const batchBlocks = blocksOf(rows).blocks;
  const row = 16 * stride_out;
  const errors = 16 * sizes.region_size * sizes.all_regions;
  const grids = 12 * auxDispatches(sizes);
  const everyTensor = <Prefix extends string>(prefix: Prefix, part: string, on: boolean) => {
    const of = (name: keyof typeof weights) => kept(part, on ? 16 * weights[name] : 0);
    return {
      [`${prefix}W_enc`]: of("W_enc"),
      [`${prefix}W_dec`]: of("W_dec"),
      [`${prefix}feature_parameters`]: of("feature_parameters"),
      [`${prefix}b_dec`]: of("b_dec"),
      [`${prefix}W_skip`]: of("W_skip"),
    } as Record<`${Prefix}${keyof typeof weights}`, BufferPlan>;
  };
  return {
    ...everyTensor("", "Parameters", true),
    ...everyTensor("m_", "Adam moments", true),
    ...everyTensor("v_", "Adam moments", true),
    ...everyTensor("ema_", "Weight averages", ema),
    half_W_enc: storage("16-bit copies", half ? 8 * weights.W_enc : 0, COPY_SRC),
    half_W_dec: storage("16-bit copies", half ? 8 * weights.W_dec : 0, COPY_SRC),
    half_W_skip: storage("16-bit copies", half ? 8 * weights.W_skip : 0, COPY_SRC),
    half_x: storage("16-bit copies", half ? 8 * rows * stride_in : 0, COPY_SRC),
    gW_enc: storage("Gradients", 16 * weights.W_enc, COPY_SRC),
    gW_dec: storage("Gradients", 16 * weights.W_dec, COPY_SRC),
    gW_skip: storage("Gradients", 16 * weights.W_skip, COPY_SRC),
    skip_square_norms: storage("Gradients", sizes.skip ? row : 0),
    feature_sums: storage("Gradients", 4 * (parameters.length + featureSumRows) * feature_stride, COPY_SRC),
    gb_dec: storage("Gradients", row, COPY_SRC),
    encoder_sums: storage("Gradients", subtracted ? blocksOf(d_sae).blocks * row : 0),
    raw: kept("Batch", 4 * rows * sizes.raw_width),
    x: storage("Batch", 16 * rows * stride_in, COPY_SRC),
    y: storage("Batch", sizes.transcoder ? rows * row : 0, COPY_SRC),
    skipped: storage("Batch", sizes.skip ? rows * row : 0),
    errors: storage("Batch", errors, COPY_SRC),
    input_normalization: kept("Batch", 4 * sizes.points * (1 + sizes.width_in)),
    target_normalization: kept("Batch", sizes.transcoder ? 4 * (1 + sizes.width_out) : 0),
    token_normalization: storage("Batch", perToken ? 8 * rows : 0, COPY_SRC),
    z: storage("Pre-activations", 4 * rows * d_sae, COPY_SRC),
    words: storage("Sparse activations", 4 * sizes.planes * sizes.plane, COPY_DST | COPY_SRC),
    indices: storage("Sparse activations", 4 * rows * sizes.capacity, COPY_SRC),
    counts: storage("Sparse activations", 4 * rows, COPY_SRC),
    norms: storage("Sparse activations", sizes.rescaled || penaltyNorms ? 4 * d_sae : 0),
    histograms: storage("Sparse activations", batchSelected ? histogramBytes : 0, COPY_DST),
    selection: storage("Sparse activations", selectionBytes, COPY_SRC),
    tokens_since_fired: kept("Dead features", 4 * d_sae),
    dead: storage("Dead features", 4 * d_sae),
    aux_indices: storage("Dead features", 4 * rows * sizes.k_aux),
    planned_grids: storage("Dead features", grids, COPY_DST),
    grids: storage("Dead features", grids, INDIRECT),
    token_losses: storage("Dead features", config.resample ? 4 * rows : 0, COPY_SRC),
    control: storage("Metrics", controlBytes(d_sae, penaltyNorms ? rows : 0), COPY_SRC),
    steering: kept("Metrics", 4 * steeringWords),
    counters: storage("Metrics", counterBytes, COPY_SRC | COPY_DST),
    error_sums: storage("Metrics", batchBlocks * row, COPY_SRC),
    gradient_sums: storage("Metrics", sizes.gradient_region > 0 ? batchBlocks * row : 0),
    y_sums: storage("Metrics", batchBlocks * row, COPY_SRC),
    moments: storage("Metrics", 2 * batchBlocks * row),
    statistics: storage("Metrics", statisticsBytes, COPY_SRC),
    firings: storage("Metrics", 4 * d_sae, COPY_SRC | COPY_DST),
    step: { part: "Metrics", bytes: stepUniformBytes, usage: UNIFORM | COPY_DST },
    uniforms: { part: "Metrics", bytes: uniformSlotBytes * uniformSlots, usage: UNIFORM | COPY_DST },
  } satisfies Record<string, BufferPlan>;
}

export type StepBuffers = Record<keyof ReturnType<typeof planBuffers>, GPUBuffer>;

/** Refuses a plan with a buffer that no kernel of this adapter could bind whole. */
export function checkBindings(plans: Record<string, BufferPlan>, { limits }: Capabilities): void {
  for (const [name, { bytes, usage }] of Object.entries(plans)) {
    const limit = limits.max_storage_buffer_binding_size;
    if ((usage & bufferUsage.STORAGE) !== 0 && bytes > limit)
      throw new BufferTooLargeError(name, bytes, limit);
  }
}

/** Allocates all planned buffers, or none: what was taken before a failure is given back. */
export function allocate<Name extends string>(
  gpu: Gpu,
  plans: Record<Name, BufferPlan>,
): Record<Name, GPUBuffer> {
  const buffers: Partial<Record<Name, GPUBuffer>> = {};
  try {
    for (const name of Object.keys(plans) as Name[]) {
      const { bytes, usage } = plans[name];
      buffers[name] = gpu.ledger.allocate(name, bytes, usage);
    }
  } catch (refused) {
    for (const buffer of Object.values<GPUBuffer | undefined>(buffers)) {
      if (buffer !== undefined) gpu.ledger.free(buffer);
    }
    throw refused;
  }
  return buffers as Record<Name, GPUBuffer>;
}
