import type { Dispatch } from "../device/dispatch.ts";
import type { Gpu } from "../device/gpu.ts";
import { planAdam } from "../kernels/adam.ts";
import { blocksOf, planColumnSum } from "../kernels/column-sum.ts";
import { stepCounterBytes } from "../kernels/control.ts";
import { planDecode } from "../kernels/decode.ts";
import { planEncode } from "../kernels/encode.ts";
import { featureSumStride, planFeatureGradient } from "../kernels/feature-gradient.ts";
import { planFindDead } from "../kernels/find-dead.ts";
import { planGradientNorm } from "../kernels/gradient-norm.ts";
import { type PlanContext, plannedGrid } from "../kernels/grid.ts";
import { planMoments } from "../kernels/moments.ts";
import { planPrepare } from "../kernels/prepare.ts";
import { planScatter } from "../kernels/scatter.ts";
import { planSegments } from "../kernels/segments.ts";
import { planSelect } from "../kernels/select.ts";
import { planStatistics } from "../kernels/statistics.ts";
import { UniformArena } from "../kernels/uniforms.ts";
import type { TrainingConfig } from "./config.ts";
import { auxDispatches, type TopkBuffers, type TopkSizes } from "./topk-memory.ts";

/*
 * TopK with AuxK (Gao et al. 2024, arXiv 2406.04093; the losses' scales are SAELens').
 *
 * Forward, per token, x already scaled, S the k largest z (ties to the lower feature), D the dead features:
 *   x̄ = x − b_dec, or x                 apply_b_dec_to_input
 *   z = W_enc x̄ + b_enc                 W_enc, W_dec stored [d_sae, d_in]
 *   f_i = max(z_i, 0) for i in S, else 0
 *   x̂ = Σ f_i W_dec[i] + b_dec          e = x̂ − x
 *   A = the min(k_aux, |D|) largest z in D, k_aux = floor(d_in / 2), not rectified
 *   r̂ = Σ_{i in A} z_i W_dec[i]
 *
 * Loss, over a batch of B tokens:
 *   mse_loss = 1/B Σ ‖e‖²
 *   aux_loss = a/B Σ ‖r̂ + e‖²           a = aux_loss_coefficient · min(|D| / k_aux, 1); e is a constant here
 *
 * Gradients; e' = a (r̂ + e):
 *   dz_i      = 2/B ⟨W_dec[i], e⟩ [z_i > 0] for i in S,  plus  2/B ⟨W_dec[i], e'⟩ for i in A
 *   gW_dec[i] = 2/B Σ_t f_i e + 2/B Σ_t z_i [i in A] e'
 *   gW_enc[i] = Σ_t dz_i x̄               gb_enc[i] = Σ_t dz_i
 *   gb_dec    = 2/B Σ_t e − Σ_i gb_enc[i] W_enc[i]      the second term only with apply_b_dec_to_input
 *
 * Update: with decoder_norm "unit", gW_dec[i] −= ⟨gW_dec[i], W_dec[i]⟩ W_dec[i]; then the whole gradient is clipped to
 * grad_clip_norm, Adam takes its step on every element, and unit rows are scaled back to norm 1.
 */

/** The dispatches of a TopK trainer, bound once. */
export interface TopkPlan {
  /** One training step, after `reset`. */
  training: Dispatch[];
  /** After a training step: its statistics. */
  metrics: Dispatch[];
  /** Forward pass, firing counts and statistics of a batch, after `reset`; touches no state of the training. */
  evaluation: Dispatch[];
}

export async function planTopk(
  gpu: Gpu,
  config: TrainingConfig,
  sizes: TopkSizes,
  buffers: TopkBuffers,
): Promise<TopkPlan> {
  const context: PlanContext = {
    gpu,
    uniforms: new UniformArena(gpu, buffers.uniforms),
    step: buffers.step,
  };
  const aux = sizes.k_aux > 0;
  const subtracted = config.apply_b_dec_to_input;
  const { rows, stride, d_sae } = sizes;
  const b = buffers;

  const main = { rows, d_sae, list: "main", first_entry: 0 } as const;
  const columns = (label: string, matrix: GPUBuffer, sums: GPUBuffer) =>
    planColumnSum(context, { label, rows, stride }, { matrix, sums, rows: "batch" });

  // Together, since compiling is what takes long.
  const [
    prepare,
    findDead,
    chunks,
    decode,
    segments,
    countFirings,
    scatter,
    auxSparse,
    featureGradient,
    errorSum,
    inputSum,
    throughEncoder,
    gradientNorm,
    updates,
    moments,
    statistics,
  ] = await Promise.all([
    planPrepare(context, sizes, { raw: b.raw, x: b.x, b_dec: subtracted ? b.b_dec : null }),
    planFindDead(
      context,
      {
        d_sae,
        window: config.dead_feature_window_tokens,
        k_aux: sizes.k_aux,
        coefficient: config.aux_loss_coefficient,
        dispatches: auxDispatches(sizes),
      },
      b,
    ),
    Promise.all(sizes.chunks.map((chunk) => planChunk(context, sizes, chunk, b))),
    planDecode(context, sizes, { ...b, target: { x: b.x, b_dec: subtracted ? null : b.b_dec } }),
    planSegments(context, main, { ...b, keep: { tokens_since_fired: b.tokens_since_fired } }),
    planSegments(context, main, { ...b, keep: { firings: b.firings } }),
    planScatter(context, sizes, { ...b, control: null }),
    aux ? planAuxSparse(context, sizes, b) : [],
    planFeatureGradient(context, { ...sizes, unit_decoder: config.decoder_norm === "unit", aux }, b),
    columns("errors", b.errors, b.error_sums),
    columns("x", b.x, b.x_sums),
    subtracted ? planThroughEncoder(context, sizes, b) : null,
    planGradientNorm(
      context,
      { rows, d_sae, stride, max_norm: config.grad_clip_norm },
      { ...b, encoder_sums: subtracted ? b.encoder_sums : null },
    ),
    planUpdates(context, config, sizes, b),
    planMoments(context, { rows, stride, aux }, b),
    planStatistics(context, blocksOf(rows).blocks * stride, b),
  ]);

  const auxiliary = new Set([...chunks.flatMap((chunk) => chunk.aux), ...auxSparse]);
  const training = [
    prepare,
    findDead,
    ...chunks.flatMap((chunk) => [...chunk.main, ...chunk.aux]),
    decode,
    segments,
    scatter,
    ...auxSparse,
    featureGradient,
    errorSum,
    ...(throughEncoder === null ? [] : [throughEncoder]),
    gradientNorm,
    ...updates,
  ];
  return {
    training: switchByDead(gpu, training, auxiliary, b),
    metrics: [inputSum, moments, statistics],
    evaluation: [
      prepare,
      ...chunks.flatMap((chunk) => chunk.main),
      decode,
      countFirings,
      errorSum,
      inputSum,
      moments,
      statistics,
    ],
  };
}

/** Bytes that must be zero before a step or an evaluated batch. */
export function resetTopk(encoder: GPUCommandEncoder, sizes: TopkSizes, buffers: TopkBuffers): void {
  encoder.clearBuffer(buffers.counters, 0, stepCounterBytes);
  encoder.clearBuffer(buffers.active_words);
  if (sizes.k_aux === 0) return;
  encoder.clearBuffer(buffers.aux_words);
  // AuxK's segments; they are not written in a step without dead features.
  encoder.clearBuffer(buffers.segments, 8 * sizes.d_sae, 8 * sizes.d_sae);
}

interface Chunk {
  main: Dispatch[];
  aux: Dispatch[];
}

async function planChunk(
  context: PlanContext,
  sizes: TopkSizes,
  chunk: { first_row: number; rows: number },
  b: TopkBuffers,
): Promise<Chunk> {
  const { d_in, d_sae, stride, k, k_aux } = sizes;
  const auxLists = {
    z: b.z,
    indices: b.aux_indices,
    values: b.aux_values,
    active_words: b.aux_words,
    aux: b,
  };
  const [encode, select, ...aux] = await Promise.all([
    planEncode(context, { d_in, d_sae, stride, ...chunk }, b),
    planSelect(context, { d_sae, k, ...chunk }, { ...b, aux: null }),
    ...(k_aux > 0 ? [planSelect(context, { d_sae, k: k_aux, ...chunk }, auxLists)] : []),
  ]);
  return { main: [encode, select], aux };
}

/** AuxK's decode and counting sort, in order. */
async function planAuxSparse(context: PlanContext, sizes: TopkSizes, b: TopkBuffers): Promise<Dispatch[]> {
  const { rows, d_in, stride, d_sae, k_aux } = sizes;
  const lists = { indices: b.aux_indices, values: b.aux_values, gradients: b.aux_gradients };
  const sort = { active_words: b.aux_words, before: b.aux_before, segments: b.segments };
  return Promise.all([
    planDecode(
      context,
      { rows, d_in, stride, k: k_aux },
      { W_dec: b.W_dec, errors: b.errors, ...lists, target: { control: b.control } },
    ),
    planSegments(
      context,
      { rows, d_sae, list: "aux", first_entry: rows * sizes.k },
      { ...sort, counters: b.counters, keep: null },
    ),
    planScatter(
      context,
      { rows, d_sae, k: k_aux },
      { ...lists, ...sort, entries: b.entries, control: b.control },
    ),
  ]);
}

/** Column sums of gb_enc · W_enc. */
function planThroughEncoder(
  context: PlanContext,
  sizes: TopkSizes,
  { W_enc, encoder_sums, feature_sums }: TopkBuffers,
): Promise<Dispatch> {
  return planColumnSum(
    context,
    { label: "W_enc", rows: sizes.d_sae, stride: sizes.stride },
    { matrix: W_enc, sums: encoder_sums, rows: { weights: gradientOfBias(sizes, feature_sums) } },
  );
}

/** Adam on the four parameters. */
async function planUpdates(
  context: PlanContext,
  config: TrainingConfig,
  sizes: TopkSizes,
  b: TopkBuffers,
): Promise<Dispatch[]> {
  const { d_sae, stride } = sizes;
  const weights = d_sae * stride;
  const tensors = [
    ["W_enc", weights, b.gW_enc],
    ["W_dec", weights, b.gW_dec],
    ["b_enc", Math.ceil(d_sae / 4), gradientOfBias(sizes, b.feature_sums)],
    ["b_dec", stride, b.gb_dec],
  ] as const;
  return Promise.all(
    tensors.map(([tensor, count, gradients]) =>
      planAdam(
        context,
        {
          tensor,
          count,
          stride,
          beta1: config.adam_beta1,
          beta2: config.adam_beta2,
          epsilon: config.adam_epsilon,
          unit_rows: tensor === "W_dec" && config.decoder_norm === "unit",
        },
        {
          parameters: b[tensor],
          gradients,
          first_moments: b[`m_${tensor}`],
          second_moments: b[`v_${tensor}`],
          control: b.control,
        },
      ),
    ),
  );
}

/** The first half of feature_sums. */
function gradientOfBias({ d_sae }: TopkSizes, feature_sums: GPUBuffer): GPUBufferBinding {
  return { buffer: feature_sums, offset: 0, size: 4 * featureSumStride(d_sae) };
}

/** The auxiliary dispatches take their grids from the GPU, which writes zeros where no feature is dead. */
function switchByDead(
  gpu: Gpu,
  dispatches: Dispatch[],
  auxiliary: ReadonlySet<Dispatch>,
  { planned_grids, grids }: TopkBuffers,
): Dispatch[] {
  const planned: number[] = [];
  const switched = dispatches.map((dispatch): Dispatch => {
    if (!auxiliary.has(dispatch)) return dispatch;
    const offset = 4 * planned.length;
    planned.push(...plannedGrid(dispatch));
    return { ...dispatch, grid: { indirect: grids, offset } };
  });
  gpu.device.queue.writeBuffer(planned_grids, 0, new Uint32Array(planned));
  return switched;
}
