import type { Dispatch } from "../device/dispatch.ts";
import type { Gpu } from "../device/gpu.ts";
import { planAdam } from "../kernels/adam.ts";
import { blocksOf, planColumnSum } from "../kernels/column-sum.ts";
import { type DecodeBuffers, type DecodeShape, planAuxDecode, planDecode } from "../kernels/decode.ts";
import { planEncode } from "../kernels/encode.ts";
import { planFeatureGradient } from "../kernels/feature-gradient.ts";
import { planFindDead } from "../kernels/find-dead.ts";
import { planFirings } from "../kernels/firings.ts";
import { planGradientNorm } from "../kernels/gradient-norm.ts";
import { type PlanContext, plannedGrid } from "../kernels/grid.ts";
import { planHalve } from "../kernels/halve.ts";
import { planMoments } from "../kernels/moments.ts";
import { planPrepare } from "../kernels/prepare.ts";
import { planSelect } from "../kernels/select.ts";
import { planSkipGradient } from "../kernels/skip-gradient.ts";
import { planStatistics } from "../kernels/statistics.ts";
import { planSteer, type SteerRule } from "../kernels/steer.ts";
import { planTokenLoss } from "../kernels/token-loss.ts";
import { planTokenNorms } from "../kernels/token-norms.ts";
import { UniformArena } from "../kernels/uniforms.ts";
import type { Activation } from "./activation.ts";
import type { BaseArchitecture } from "./architecture.ts";
import { batchtopkActivation } from "./batchtopk.ts";
import type { TrainingConfig } from "./config.ts";
import { gatedActivation } from "./gated.ts";
import { jumpreluActivation } from "./jumprelu.ts";
import { matryoshkaActivation } from "./matryoshka-batchtopk.ts";
import type { StepBuffers } from "./memory.ts";
import { deadFeatureWindow, targetGain, targetHorizon } from "./schedule.ts";
import { auxDispatches, type StepSizes, type weightNames, weightSizes } from "./sizes.ts";
import { standardActivation } from "./standard.ts";
import { topkActivation } from "./topk.ts";

/*
 * A training step of every architecture:
 *   x = normalised input (− b_dec), y = normalised target            prepare
 *   z = x W_encᵀ + b_enc                                             encode: the one dense product
 *   which features are active                                        the architecture's own kernels (activation.ts)
 *   e = Σ f_i W_dec[i] + b_dec (+ W_skip x) − y                      decode
 *   AuxK: the dead features explain −e                               aux/select, aux/decode
 *   gradients, feature by feature                                    feature_gradient
 *   gb_dec = 2/B Σ_t e − Σ_i (Σ_t dz_i) W_enc[i]                     column_sum, gradient_norm
 *   clip, Adam, unit rows, averages                                  adam
 */

const activations: Record<BaseArchitecture, Activation> = {
  standard: standardActivation,
  gated: gatedActivation,
  jumprelu: jumpreluActivation,
  topk: topkActivation,
  batchtopk: batchtopkActivation,
  matryoshka_batchtopk: matryoshkaActivation,
};

/** The dispatches of a trainer, bound once. */
export interface StepPlan {
  /** One training step, after `resetStep`. */
  training: Dispatch[];
  /** After a training step: its statistics. */
  metrics: Dispatch[];
  /**
   * Forward pass, firing counts and statistics of a batch, after `resetStep`, with the weights that are exported;
   * touches no state of the training. Writes each token's ‖e‖² where features are resampled.
   */
  evaluation: Dispatch[];
  /** Once after the weights have been put in place: their 16-bit copies. */
  start: Dispatch[];
}

/** The weights of one forward pass: those in training, or their running means. */
interface Weights {
  W_enc: GPUBuffer;
  W_dec: GPUBuffer;
  feature_parameters: GPUBuffer;
  b_dec: GPUBuffer;
  W_skip: GPUBuffer;
  /** What enters products: the same, or 16-bit copies. */
  operands: { W_enc: GPUBuffer; W_dec: GPUBuffer; W_skip: GPUBuffer; half: boolean };
}

export async function planStep(
  gpu: Gpu,
  config: TrainingConfig,
  sizes: StepSizes,
  b: StepBuffers,
): Promise<StepPlan> {
  const context: PlanContext = { gpu, uniforms: new UniformArena(gpu, b.uniforms), step: b.step };
  const planner = new StepPlanner(context, config, sizes, b);
  const [training, metrics, evaluation, start] = await Promise.all([
    planner.training(),
    planner.metrics("training"),
    planner.evaluation(),
    planner.start(),
  ]);
  gpu.device.queue.writeBuffer(b.planned_grids, 0, new Uint32Array(planner.plannedGrids));
  return { training, metrics, evaluation, start };
}

/** Bytes that must be zero before a step or an evaluated batch: bits that are set one by one, and histograms. */
export function resetStep(encoder: GPUCommandEncoder, sizes: StepSizes, buffers: StepBuffers): void {
  const first = sizes.base === "topk" ? 0 : sizes.aux_plane;
  if (first < sizes.planes) encoder.clearBuffer(buffers.words, 4 * first * sizes.plane);
  encoder.clearBuffer(buffers.histograms);
}

class StepPlanner {
  /** Grids of AuxK's dispatches, which the GPU switches off where no feature is dead. */
  readonly plannedGrids: number[] = [];
  readonly #context: PlanContext;
  readonly #config: TrainingConfig;
  readonly #sizes: StepSizes;
  readonly #b: StepBuffers;
  readonly #activation: Activation;
  readonly #subtracted: boolean;
  /** What is reconstructed; it contains −b_dec where the encoder's input does. */
  readonly #target: GPUBuffer;

  constructor(context: PlanContext, config: TrainingConfig, sizes: StepSizes, b: StepBuffers) {
    this.#context = context;
    this.#config = config;
    this.#sizes = sizes;
    this.#b = b;
    this.#activation = activations[sizes.base];
    this.#subtracted = config.apply_b_dec_to_input;
    this.#target = sizes.transcoder ? b.y : b.x;
  }

  async training(): Promise<Dispatch[]> {
    const b = this.#b;
    const weights = this.#weights("trained");
    const [forward, aux, findDead, firings, backward, updates, steer] = await Promise.all([
      this.#forward(weights, "training"),
      this.#aux(weights),
      this.#findDead(),
      planFirings(this.#context, this.#sizes, { ...b, keep: { tokens_since_fired: b.tokens_since_fired } }),
      this.#backward(),
      this.#updates(),
      this.#steer(),
    ]);
    return [findDead, ...forward, ...aux, firings, ...backward, ...updates, ...steer];
  }

  async metrics(purpose: "training" | "evaluation"): Promise<Dispatch[]> {
    const { stride_out: stride, rows, aux_widths, aux_region } = this.#sizes;
    const b = this.#b;
    const training = purpose === "training";
    const aux = { levels: training ? aux_widths.length : 0, region: aux_region };
    const regions = training ? this.#sizes.regions : this.#evaluatedRegions();
    return Promise.all([
      this.#columnSum("y", this.#target, b.y_sums),
      planMoments(
        this.#context,
        {
          rows,
          stride,
          regions,
          region_size: this.#sizes.region_size,
          levels: this.#sizes.widths.length,
          aux,
        },
        { ...b, y: this.#target },
      ),
      planStatistics(
        this.#context,
        {
          count: blocksOf(rows).blocks * stride,
          d_sae: this.#sizes.d_sae,
          feature_stride: this.#sizes.feature_stride,
          sparsity_row: this.#sizes.parameters.length + 1,
        },
        b,
      ),
    ]);
  }

  async evaluation(): Promise<Dispatch[]> {
    const b = this.#b;
    const { rows, stride_out: stride } = this.#sizes;
    const weights = this.#weights(this.#config.ema_decay === null ? "trained" : "averaged");
    const [findDead, forward, firings, errorSum, metrics, losses] = await Promise.all([
      this.#findDead(),
      this.#forward(weights, "evaluation"),
      planFirings(this.#context, this.#sizes, { ...b, keep: { firings: b.firings } }),
      this.#columnSum("errors", b.errors, b.error_sums),
      this.metrics("evaluation"),
      this.#config.resample
        ? [planTokenLoss(this.#context, { rows, stride }, { errors: b.errors, losses: b.token_losses })]
        : [],
    ]);
    return [findDead, ...forward, firings, errorSum, ...metrics, ...(await Promise.all(losses))];
  }

  async start(): Promise<Dispatch[]> {
    if (!this.#sizes.half) return [];
    const counts = weightSizes(this.#sizes);
    const names = this.#sizes.skip ? (["W_enc", "W_dec", "W_skip"] as const) : (["W_enc", "W_dec"] as const);
    return Promise.all(
      names.map((tensor) =>
        planHalve(
          this.#context,
          { tensor, count: counts[tensor] },
          { tensor: this.#b[tensor], halves: this.#b[`half_${tensor}`] },
        ),
      ),
    );
  }

  #weights(which: "trained" | "averaged"): Weights {
    const b = this.#b;
    if (which === "averaged") {
      const own = {
        W_enc: b.ema_W_enc,
        W_dec: b.ema_W_dec,
        feature_parameters: b.ema_feature_parameters,
        b_dec: b.ema_b_dec,
        W_skip: b.ema_W_skip,
      };
      return { ...own, operands: { ...own, half: false } };
    }
    const operands = this.#sizes.half
      ? { W_enc: b.half_W_enc, W_dec: b.half_W_dec, W_skip: b.half_W_skip, half: true }
      : { W_enc: b.W_enc, W_dec: b.W_dec, W_skip: b.W_skip, half: false };
    return { ...b, operands };
  }

  /** From the raw batch to the errors of its reconstruction. */
  async #forward(weights: Weights, purpose: "training" | "evaluation"): Promise<Dispatch[]> {
    const { rows, d_sae, stride_in, stride_out, skip, base } = this.#sizes;
    const b = this.#b;
    const { half } = weights.operands;
    const x = half ? b.half_x : b.x;
    const encode = (
      label: string,
      W: GPUBuffer,
      outputs: number,
      bias: GPUBufferBinding | null,
      z: GPUBuffer,
    ) =>
      planEncode(
        this.#context,
        { label, rows, d_sae: outputs, stride: stride_in, half },
        { x, W, bias, z, counters: b.counters },
      );
    const bias = base === "gated" ? null : this.#featureRow(weights.feature_parameters, 0);
    const regions = purpose === "training" ? this.#sizes.regions : this.#evaluatedRegions();
    const [prepare, encoded, skipped, activated, decoded] = await Promise.all([
      this.#prepare(weights.b_dec),
      encode("encode", weights.operands.W_enc, d_sae, bias, b.z),
      skip ? encode("encode/skip", weights.operands.W_skip, 4 * stride_out, null, b.skipped) : null,
      this.#activation.plan(
        {
          context: this.#context,
          config: this.#config,
          sizes: this.#sizes,
          buffers: { ...b, W_dec: weights.W_dec, feature_parameters: weights.feature_parameters },
        },
        purpose,
      ),
      planDecode(this.#context, this.#decodeShape(half), this.#decodeBuffers(weights), {
        regions,
        counts: b.counts,
        words: b.words,
        target: this.#target,
        b_dec: this.#subtracted ? null : weights.b_dec,
        skipped: skip ? b.skipped : null,
        parameters: weights.feature_parameters,
      }),
    ]);
    return [...prepare, encoded, ...(skipped === null ? [] : [skipped]), ...activated, decoded];
  }

  /** What is exported has one dictionary and one k. */
  #evaluatedRegions() {
    return this.#sizes.regions === "gated" ? "gated" : "plain";
  }

  #decodeShape(half: boolean): DecodeShape {
    const { stride_out, regions, plane } = this.#sizes;
    return { ...this.#sizes, stride: stride_out, half, plane: regions === "gated" ? plane : 0 };
  }

  #decodeBuffers({ operands }: Weights): DecodeBuffers {
    const { z, indices, errors } = this.#b;
    return { W_dec: operands.W_dec, z, indices, errors };
  }

  async #prepare(b_dec: GPUBuffer): Promise<Dispatch[]> {
    const { rows, raw_width, width_in, width_out, point_in, point_out, points, transcoder, half } =
      this.#sizes;
    const b = this.#b;
    const method = this.#config.normalize_activations;
    const perToken = method === "constant_norm_rescale" || method === "layer_norm";
    const tokens = perToken
      ? [
          planTokenNorms(
            this.#context,
            { rows, width: width_in, method },
            { raw: b.raw, norms: b.token_normalization },
          ),
        ]
      : [];
    const input = planPrepare(
      this.#context,
      { label: "input", rows, raw_width, first: 0, width: width_in, stride: point_in, points },
      {
        raw: b.raw,
        x: b.x,
        normalization: perToken ? { tokens: b.token_normalization } : { columns: b.input_normalization },
        b_dec: this.#subtracted ? b_dec : null,
        halves: half ? b.half_x : null,
      },
    );
    const target = transcoder
      ? [
          planPrepare(
            this.#context,
            {
              label: "target",
              rows,
              raw_width,
              first: width_in,
              width: width_out,
              stride: point_out,
              points,
            },
            {
              raw: b.raw,
              x: b.y,
              normalization: { columns: b.target_normalization },
              b_dec: null,
              halves: null,
            },
          ),
        ]
      : [];
    return Promise.all([...tokens, input, ...target]);
  }

  /** AuxK: for each dictionary it serves, selection among the dead features and their decode. */
  async #aux(weights: Weights): Promise<Dispatch[]> {
    const { rows, d_sae, k_aux, aux_widths, aux_region, aux_plane, plane, widths, rescaled } = this.#sizes;
    const b = this.#b;
    const own = aux_widths.length === widths.length ? widths : [d_sae];
    const planned = await Promise.all(
      aux_widths.map((_, level) =>
        Promise.all([
          planSelect(
            this.#context,
            { rows, d_sae, capacity: k_aux, factor: 1, plane: (aux_plane + level) * plane },
            {
              z: b.z,
              indices: b.aux_indices,
              words: b.words,
              list: { dead: b.dead, control: b.control, level },
              norms: rescaled ? b.norms : null,
            },
          ),
          planAuxDecode(
            this.#context,
            { ...this.#decodeShape(weights.operands.half), capacity: k_aux, widths: own },
            { ...this.#decodeBuffers(weights), indices: b.aux_indices },
            { control: b.control, level, region: aux_region + level },
          ),
        ]),
      ),
    );
    return planned.flat().map((dispatch): Dispatch => {
      const offset = 4 * this.plannedGrids.length;
      this.plannedGrids.push(...plannedGrid(dispatch));
      return { ...dispatch, grid: { indirect: b.grids, offset } };
    });
  }

  #findDead(): Promise<Dispatch> {
    const { d_sae, k_aux, aux_widths } = this.#sizes;
    return planFindDead(
      this.#context,
      {
        d_sae,
        window: deadFeatureWindow(this.#config),
        k_aux,
        coefficient: this.#config.aux_loss_coefficient,
        widths: aux_widths,
        dispatches: auxDispatches(this.#sizes),
      },
      this.#b,
    );
  }

  async #backward(): Promise<Dispatch[]> {
    const { rows, d_sae, stride_in, stride_out, points, skip, half, region_size, gradient_region } =
      this.#sizes;
    const b = this.#b;
    const config = this.#config;
    const conditions = this.#activation.gradient(config);
    const expected = config.target_l0 ?? (this.#sizes.k_aux > 0 ? config.k : d_sae / 16);
    const first = gradient_region * region_size;
    const whole = { buffer: b.errors, offset: 16 * first, size: 16 * rows * stride_out };
    const [features, errorSum, gradientSum, throughEncoder, skipGradient, norm] = await Promise.all([
      planFeatureGradient(
        this.#context,
        {
          ...this.#sizes,
          aux: {
            levels: this.#sizes.aux_widths.length,
            region: this.#sizes.aux_region,
            plane: this.#sizes.aux_plane,
          },
          parameters: this.#sizes.parameters.length,
          points,
          lp_norm: config.lp_norm,
          tanh_scale: config.jumprelu_tanh_scale,
          bandwidth: config.jumprelu_bandwidth,
          pre_act: config.pre_act_loss_coefficient,
          target_l0: config.target_l0 ?? 1,
          unit_decoder: config.decoder_norm === "unit",
          entries: rows * expected,
        },
        conditions,
        { ...b, x: half ? b.half_x : b.x },
      ),
      this.#columnSum("errors", b.errors, b.error_sums),
      gradient_region > 0 ? this.#columnSum("gradient", whole, b.gradient_sums) : null,
      this.#subtracted
        ? planColumnSum(
            this.#context,
            { label: "W_enc", rows: d_sae, stride: stride_in },
            { matrix: b.W_enc, sums: b.encoder_sums, rows: { weights: this.#sumOfDz() } },
          )
        : null,
      skip
        ? planSkipGradient(
            this.#context,
            { rows, stride_in, stride_out, first, half },
            {
              x: half ? b.half_x : b.x,
              errors: b.errors,
              gW_skip: b.gW_skip,
              square_norms: b.skip_square_norms,
            },
          )
        : null,
      planGradientNorm(
        this.#context,
        {
          rows,
          d_sae,
          stride: stride_out,
          skip_rows: skip ? 4 * stride_out : 0,
          max_norm: config.grad_clip_norm,
        },
        {
          ...b,
          error_sums: gradient_region > 0 ? b.gradient_sums : b.error_sums,
          encoder_sums: this.#subtracted ? b.encoder_sums : null,
          square_norms: this.#featureRow(b.feature_sums, this.#sizes.parameters.length),
          skip_square_norms: skip ? b.skip_square_norms : null,
        },
      ),
    ]);
    return [features, errorSum, gradientSum, throughEncoder, skipGradient, norm].filter(
      (one) => one !== null,
    );
  }

  /** Σ_t dz of every feature: the gradient of b_enc, or for gated a row of its own. */
  #sumOfDz(): GPUBufferBinding {
    const row = this.#sizes.base === "gated" ? this.#sizes.parameters.length + 3 : 0;
    return this.#featureRow(this.#b.feature_sums, row);
  }

  /** One row of a buffer of per-feature numbers. */
  #featureRow(buffer: GPUBuffer, row: number): GPUBufferBinding {
    const bytes = 4 * this.#sizes.feature_stride;
    return { buffer, offset: row * bytes, size: bytes };
  }

  #columnSum(label: string, matrix: GPUBuffer | GPUBufferBinding, sums: GPUBuffer): Promise<Dispatch> {
    const { rows, stride_out: stride } = this.#sizes;
    return planColumnSum(this.#context, { label, rows, stride }, { matrix, sums, rows: "batch" });
  }

  /** Adam on every parameter. */
  async #updates(): Promise<Dispatch[]> {
    const { stride_out, feature_stride, parameters, half, skip } = this.#sizes;
    const config = this.#config;
    const b = this.#b;
    const counts = weightSizes(this.#sizes);
    const adam = (
      tensor: string,
      count: number,
      gradients: GPUBufferBinding,
      of: (buffer: GPUBuffer) => GPUBufferBinding,
      name: (typeof weightNames)[number],
    ) =>
      planAdam(
        this.#context,
        {
          tensor,
          count,
          stride: stride_out,
          beta1: config.adam_beta1,
          beta2: config.adam_beta2,
          epsilon: config.adam_epsilon,
          unit_rows: tensor === "W_dec" && config.decoder_norm === "unit",
          nonnegative: tensor === "threshold",
          ema_decay: config.ema_decay,
        },
        {
          parameters: of(b[name]),
          gradients,
          first_moments: of(b[`m_${name}`]),
          second_moments: of(b[`v_${name}`]),
          means: of(b[`ema_${name}`]),
          halves:
            half && (name === "W_enc" || name === "W_dec" || name === "W_skip") ? b[`half_${name}`] : null,
          control: b.control,
        },
      );
    const whole = (buffer: GPUBuffer): GPUBufferBinding => ({ buffer });
    return Promise.all([
      adam("W_enc", counts.W_enc, whole(b.gW_enc), whole, "W_enc"),
      adam("W_dec", counts.W_dec, whole(b.gW_dec), whole, "W_dec"),
      ...parameters.map((parameter, row) => {
        const slice = (buffer: GPUBuffer) => this.#featureRow(buffer, row);
        return adam(parameter, feature_stride / 4, slice(b.feature_sums), slice, "feature_parameters");
      }),
      adam("b_dec", counts.b_dec, whole(b.gb_dec), whole, "b_dec"),
      ...(skip ? [adam("W_skip", counts.W_skip, whole(b.gW_skip), whole, "W_skip")] : []),
    ]);
  }

  async #steer(): Promise<Dispatch[]> {
    const { target_l0, topk_threshold_lr, jumprelu_sparsity_loss_mode } = this.#config;
    const { base } = this.#sizes;
    const b = this.#b;
    if (base === "batchtopk" || base === "matryoshka_batchtopk") {
      const rule = { rule: "threshold", rate: topk_threshold_lr, selection: b.selection } as const;
      return [await planSteer(this.#context, rule, b.steering)];
    }
    const steered = base !== "jumprelu" || jumprelu_sparsity_loss_mode !== "quadratic";
    if (target_l0 === null || !steered) return [];
    const rule: SteerRule = {
      rule: "target_l0",
      target: target_l0,
      gain: targetGain(this.#config),
      horizon: targetHorizon(this.#config),
      control: b.control,
    };
    return [await planSteer(this.#context, rule, b.steering)];
  }
}
