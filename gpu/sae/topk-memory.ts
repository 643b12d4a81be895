import { bufferUsage } from "../device/constants.ts";
import { BufferTooLargeError } from "../device/errors.ts";
import type { Capabilities, Gpu } from "../device/gpu.ts";
import { blocksOf } from "../kernels/column-sum.ts";
import { controlBytes, counterBytes } from "../kernels/control.ts";
import { featureSumStride } from "../kernels/feature-gradient.ts";
import { entryBytes } from "../kernels/scatter.ts";
import { statisticsBytes } from "../kernels/statistics.ts";
import { stepUniformBytes } from "../kernels/step.ts";
import { uniformSlotBytes } from "../kernels/uniforms.ts";
import type { TrainingConfig } from "./config.ts";

/** Most bytes of pre-activations held at once; a larger batch is encoded and selected in chunks of tokens. */
const mostPreActivationBytes = 64 * 2 ** 20;

/** The sizes a TopK step is planned for. */
export interface TopkSizes {
  rows: number;
  d_in: number;
  /** vec4f in a row padded to whole vec4f: x, errors, W_enc, W_dec and all that goes with them. */
  stride: number;
  d_sae: number;
  k: number;
  /** Nominal k_aux, floor(d_in / 2); 0: no AuxK. */
  k_aux: number;
  /** Chunks of tokens whose pre-activations are held at once. */
  chunks: { first_row: number; rows: number }[];
  chunk_rows: number;
}

export function topkSizes(config: TrainingConfig, { limits }: Capabilities): TopkSizes {
  const { d_in, d_sae, k, train_batch_size_tokens: rows } = config;
  const zBytes = Math.min(limits.max_storage_buffer_binding_size, mostPreActivationBytes);
  const chunk_rows = Math.min(rows, Math.max(1, Math.floor(zBytes / (4 * d_sae))));
  const chunks = Array.from({ length: Math.ceil(rows / chunk_rows) }, (_, i) => ({
    first_row: i * chunk_rows,
    rows: Math.min(chunk_rows, rows - i * chunk_rows),
  }));
  const k_aux = config.aux_loss_coefficient > 0 ? Math.floor(d_in / 2) : 0;
  return { rows, d_in, stride: Math.ceil(d_in / 4), d_sae, k, k_aux, chunks, chunk_rows };
}

/** Dispatches whose grids depend on whether any feature is dead: aux select of every chunk, and three more. */
export function auxDispatches({ k_aux, chunks }: TopkSizes): number {
  return k_aux > 0 ? chunks.length + 3 : 0;
}

/** Kernel instances, each with its uniform slot. */
function kernelInstances(config: TrainingConfig, { k_aux, chunks }: TopkSizes): number {
  const fixed = 16 + (config.apply_b_dec_to_input ? 1 : 0) + (k_aux > 0 ? 3 : 0);
  return fixed + chunks.length * (k_aux > 0 ? 3 : 2);
}

/** One buffer before it is allocated. `part` is its purpose, as the memory plan shows it. */
export interface BufferPlan {
  part: string;
  bytes: number;
  usage: GPUBufferUsageFlags;
}

/** Every buffer of a TopK trainer, by name: what is shown before a run is what is then allocated. */
export function planBuffers(config: TrainingConfig, sizes: TopkSizes) {
  const { rows, d_in, stride, d_sae, k, k_aux, chunk_rows } = sizes;
  const { STORAGE, UNIFORM, COPY_SRC, COPY_DST, INDIRECT } = bufferUsage;
  const storage = (part: string, bytes: number, usage = 0): BufferPlan => ({
    part,
    // Buffers of a part that is switched off are still bound.
    bytes: Math.max(16, bytes),
    usage: STORAGE | usage,
  });
  const kept = (part: string, bytes: number) => storage(part, bytes, COPY_SRC | COPY_DST);

  const row = 16 * stride;
  const weights = d_sae * row;
  const bias = 16 * Math.ceil(d_sae / 4);
  const words = 4 * Math.ceil(rows / 32) * d_sae;
  const auxWords = k_aux > 0 ? words : 0;
  const batchBlocks = blocksOf(rows).blocks;
  const grids = 12 * auxDispatches(sizes);
  return {
    W_enc: kept("Parameters", weights),
    W_dec: kept("Parameters", weights),
    b_enc: kept("Parameters", bias),
    b_dec: kept("Parameters", row),
    m_W_enc: kept("Adam moments", weights),
    m_W_dec: kept("Adam moments", weights),
    m_b_enc: kept("Adam moments", bias),
    m_b_dec: kept("Adam moments", row),
    v_W_enc: kept("Adam moments", weights),
    v_W_dec: kept("Adam moments", weights),
    v_b_enc: kept("Adam moments", bias),
    v_b_dec: kept("Adam moments", row),
    gW_enc: storage("Gradients", weights, COPY_SRC),
    gW_dec: storage("Gradients", weights, COPY_SRC),
    feature_sums: storage("Gradients", 8 * featureSumStride(d_sae), COPY_SRC),
    gb_dec: storage("Gradients", row, COPY_SRC),
    encoder_sums: storage("Gradients", config.apply_b_dec_to_input ? blocksOf(d_sae).blocks * row : 0),
    raw: kept("Batch", 4 * rows * d_in),
    x: storage("Batch", rows * row, COPY_SRC),
    errors: storage("Batch", (k_aux > 0 ? 2 : 1) * rows * row, COPY_SRC),
    z: storage("Pre-activations", 4 * chunk_rows * d_sae),
    indices: storage("Sparse activations", 4 * rows * k, COPY_SRC),
    values: storage("Sparse activations", 4 * rows * k, COPY_SRC),
    gradients: storage("Sparse activations", 4 * rows * k, COPY_SRC),
    active_words: storage("Sparse activations", words, COPY_DST),
    before: storage("Sparse activations", words),
    segments: storage("Sparse activations", 16 * d_sae, COPY_DST),
    entries: storage("Sparse activations", entryBytes * rows * (k + k_aux)),
    tokens_since_fired: kept("Dead features", 4 * d_sae),
    dead: storage("Dead features", 4 * d_sae),
    aux_indices: storage("Dead features", 4 * rows * k_aux),
    aux_values: storage("Dead features", 4 * rows * k_aux),
    aux_gradients: storage("Dead features", 4 * rows * k_aux),
    aux_words: storage("Dead features", auxWords, COPY_DST),
    aux_before: storage("Dead features", auxWords),
    planned_grids: storage("Dead features", grids, COPY_DST),
    grids: storage("Dead features", grids, INDIRECT),
    control: storage("Metrics", controlBytes),
    counters: storage("Metrics", counterBytes, COPY_SRC | COPY_DST),
    error_sums: storage("Metrics", batchBlocks * row, COPY_SRC),
    x_sums: storage("Metrics", batchBlocks * row, COPY_SRC),
    moments: storage("Metrics", batchBlocks * row),
    statistics: storage("Metrics", statisticsBytes, COPY_SRC),
    firings: storage("Metrics", 4 * d_sae, COPY_SRC | COPY_DST),
    step: { part: "Metrics", bytes: stepUniformBytes, usage: UNIFORM | COPY_DST },
    uniforms: {
      part: "Metrics",
      bytes: uniformSlotBytes * kernelInstances(config, sizes),
      usage: UNIFORM | COPY_DST,
    },
  } satisfies Record<string, BufferPlan>;
}

export type TopkBuffers = Record<keyof ReturnType<typeof planBuffers>, GPUBuffer>;

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
