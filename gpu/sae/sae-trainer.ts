import type { OpenSource } from "../data/source.ts";
import { encodeDispatches } from "../device/dispatch.ts";
import type { Gpu } from "../device/gpu.ts";
import { type Profile, profile } from "../device/profiler.ts";
import { readBuffer, readFloat32, readUint32 } from "../device/readback.ts";
import { divergedStep, divergenceOffset } from "../kernels/control.ts";
import { type Statistics, unpackStatistics } from "../kernels/statistics.ts";
import { packStep } from "../kernels/step.ts";
import { type TrainingConfig, totalSteps } from "./config.ts";
import { DeviceFailedError, DivergedError } from "./errors.ts";
import { type EvaluatedBatch, totalEvaluation } from "./evaluation-totals.ts";
import { exportSae } from "./export.ts";
import type { StepBuffers } from "./memory.ts";
import type { Normalization } from "./normalization.ts";
import { resample, resamplesBefore } from "./resample.ts";
import type { Sae } from "./sae.ts";
import { kAt, learningRate, sparsityCoefficient } from "./schedule.ts";
import type { StepSizes } from "./sizes.ts";
import { downloadState } from "./state.ts";
import type { StatisticsRing } from "./statistics-ring.ts";
import { resetStep, type StepPlan } from "./step-plan.ts";
import { Throughput } from "./throughput.ts";
import type { Evaluation, MemoryPlan, StepMetrics, Trainer, TrainerState } from "./trainer.ts";

/** Steps that may be queued on the GPU; `advance` waits before it queues another. */
const queueDepth = 3;

/** What is known of a step when it is submitted, and goes into its row of metrics. */
export interface SubmittedStep {
  step: number;
  lr: number;
}

/** Everything a trainer is made of; see createTrainer. */
export interface TrainerParts {
  gpu: Gpu;
  config: TrainingConfig;
  source: OpenSource;
  /** Rows of a finite source. */
  sourceTokens: number | null;
  memory: MemoryPlan;
  sizes: StepSizes;
  buffers: StepBuffers;
  plan: StepPlan;
  ring: StatisticsRing<SubmittedStep>;
  normalization: Normalization;
  step: number;
  /** Run in reverse order by close. */
  cleanup: (() => void)[];
}

/** The training loop's one step, and what is read of the GPU between steps. */
export class SaeTrainer implements Trainer {
  readonly config: TrainingConfig;
  readonly totalSteps: number;
  readonly memory: MemoryPlan;
  readonly #parts: TrainerParts;
  readonly #throughput = new Throughput(performance.now());
  #queued: Promise<void>[] = [];
  #step: number;
  #closed = false;
  #lost: DeviceFailedError | null = null;

  constructor(parts: TrainerParts) {
    this.#parts = parts;
    this.config = parts.config;
    this.totalSteps = totalSteps(parts.config);
    this.memory = parts.memory;
    this.#step = parts.step;
    parts.gpu.lost.then(({ reason, message }) => {
      this.#lost = new DeviceFailedError(`the device was lost (${reason}): ${message}`);
    });
  }

  get step(): number {
    return this.#step;
  }

  async advance(): Promise<StepMetrics[]> {
    const { gpu, source, buffers, sizes } = this.#parts;
    const rows = await this.beforeStep();
    await source.ready("training", this.#step, sizes.rows);
    const encoder = gpu.device.createCommandEncoder({ label: `step ${this.#step + 1}` });
    source.encodeBatch(encoder, buffers.raw, "training", this.#step, sizes.rows);
    this.encodeStep(encoder);
    gpu.device.queue.submit([encoder.finish()]);
    this.afterSubmit();
    return rows;
  }

  /**
   * Waits until the queue has room for one more step, resamples where the step asks for it, and returns the metrics that
   * have arrived. With `encodeStep` and `afterSubmit` this is `advance`, for several trainers on one batch.
   */
  async beforeStep(): Promise<StepMetrics[]> {
    if (this.#step >= this.totalSteps) throw new RangeError(`All ${this.totalSteps} steps are taken.`);
    const { ring } = this.#parts;
    if (resamplesBefore(this.config, this.#step)) await this.#wait(this.#resample());
    while (this.#queued.length >= queueDepth) await this.#wait(this.#queued.shift()!);
    const rows = this.#collect();
    while (this.#measured(this.#step + 1) && ring.full) {
      await this.#wait(ring.oldest());
      rows.push(...this.#collect());
    }
    return rows;
  }

  /** Encodes one step on the batch that lies in the raw buffer; the caller submits it and calls `afterSubmit`. */
  encodeStep(encoder: GPUCommandEncoder): void {
    const { buffers, plan, ring, sizes } = this.#parts;
    const number = this.#step + 1;
    const measured = this.#measured(number);
    const lr = learningRate(this.config, this.#step);
    this.#writeTrainingStep(this.#step);
    resetStep(encoder, sizes, buffers);
    const pass = encoder.beginComputePass();
    encodeDispatches(pass, plan.training);
    if (measured) encodeDispatches(pass, plan.metrics);
    pass.end();
    if (measured) ring.copy(encoder, buffers.statistics, { step: number, lr });
    this.#step = number;
  }

  afterSubmit(): void {
    const { gpu, ring } = this.#parts;
    ring.submitted();
    const done = gpu.device.queue.onSubmittedWorkDone().then(() => this.#throughput.ended(performance.now()));
    // Whoever waits for the queue gets a rejection; one that nobody waits for must not become an unhandled one.
    done.catch(() => undefined);
    this.#queued.push(done);
  }

  async drain(): Promise<StepMetrics[]> {
    const queued = this.#queued;
    this.#queued = [];
    await this.#wait(Promise.all(queued));
    await this.#wait(this.#parts.ring.settle());
    return this.#collect();
  }

  async snapshot(): Promise<TrainerState> {
    const { gpu, config, sizes, buffers, normalization } = this.#parts;
    const state = await this.#wait(downloadState(gpu, config, sizes, buffers, this.#step, normalization));
    await this.#checkFinite();
    return state;
  }

  async exportSae(): Promise<Sae> {
    const { gpu, config, sizes, buffers, normalization } = this.#parts;
    const [mean] = await this.#wait(readFloat32(gpu, buffers.steering, 0, 4));
    const threshold = mean! * thresholdScale(config, this.#step);
    const sae = await this.#wait(exportSae(gpu, config, sizes, buffers, normalization, threshold));
    await this.#checkFinite();
    return sae;
  }

  async evaluate(tokens: number): Promise<Evaluation> {
    const { gpu, sizes, buffers, sourceTokens } = this.#parts;
    const wanted = Math.min(tokens, sourceTokens ?? tokens);
    if (!Number.isInteger(wanted) || wanted < 1) throw new RangeError(`Cannot evaluate ${tokens} tokens.`);
    const encoder = gpu.device.createCommandEncoder({ label: "evaluation" });
    encoder.clearBuffer(buffers.firings);
    gpu.device.queue.submit([encoder.finish()]);
    // Batches of one size, so that none overlaps another in a finite source; up to count − 1 tokens are left out.
    const count = Math.ceil(wanted / sizes.rows);
    const rows = Math.floor(wanted / count);
    const batches: EvaluatedBatch[] = [];
    for (let batch = 0; batch < count; batch++) {
      batches.push(await this.#wait(this.#evaluateBatch(batch, rows)));
    }
    return totalEvaluation(batches, await this.#wait(readUint32(gpu, buffers.firings)));
  }

  profile(steps: number): Promise<Profile> {
    const { gpu, source, buffers, plan, sizes } = this.#parts;
    const before = async (encoder: GPUCommandEncoder) => {
      const batch = this.#step;
      await source.ready("training", batch, sizes.rows);
      this.#writeTrainingStep(batch);
      source.encodeBatch(encoder, buffers.raw, "training", batch, sizes.rows);
      resetStep(encoder, sizes, buffers);
      this.#step = batch + 1;
    };
    return this.#wait(profile(gpu, [...plan.training, ...plan.metrics], { repetitions: steps, before }));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const undo of this.#parts.cleanup.toReversed()) undo();
  }

  async #evaluateBatch(batch: number, rows: number): Promise<EvaluatedBatch> {
    const { gpu, sizes, buffers } = this.#parts;
    await this.#encodeEvaluation(batch, rows);
    const statistics = unpackStatistics(await readBuffer(gpu, buffers.statistics));
    if (statistics.diverged !== null) throw new DivergedError(statistics.diverged);
    return {
      rows,
      statistics,
      y_sum: addBlocks(await readFloat32(gpu, buffers.y_sums), sizes),
      error_sum: addBlocks(await readFloat32(gpu, buffers.error_sums), sizes),
    };
  }

  async #encodeEvaluation(batch: number, rows: number): Promise<void> {
    const { gpu, source, sizes, buffers, plan, config } = this.#parts;
    await source.ready("evaluation", batch, rows);
    const k = Math.floor(config.k);
    this.#writeStep({ rows, number: this.#step, lr: 0, sparsity_coefficient: 0, k });
    const encoder = gpu.device.createCommandEncoder({ label: `evaluation ${batch}` });
    source.encodeBatch(encoder, buffers.raw, "evaluation", batch, rows);
    resetStep(encoder, sizes, buffers);
    const pass = encoder.beginComputePass();
    encodeDispatches(pass, plan.evaluation);
    pass.end();
    gpu.device.queue.submit([encoder.finish()]);
  }

  async #resample(): Promise<void> {
    const { gpu, config, sizes, buffers, plan, normalization, sourceTokens } = this.#parts;
    await resample({
      gpu,
      config,
      sizes,
      buffers,
      normalization,
      step: this.#step,
      tokens: Math.min(config.resample_tokens, sourceTokens ?? config.resample_tokens),
      forward: (batch, rows) => this.#encodeEvaluation(batch, rows),
    });
    const encoder = gpu.device.createCommandEncoder({ label: "resample" });
    const pass = encoder.beginComputePass();
    encodeDispatches(pass, plan.start);
    pass.end();
    gpu.device.queue.submit([encoder.finish()]);
  }

  #measured(number: number): boolean {
    return number % this.config.metrics_every_steps === 0 || number === this.totalSteps;
  }

  #writeTrainingStep(batch: number): void {
    const { config, sizes } = this.#parts;
    const k = kAt(config, batch);
    this.#writeStep({
      rows: sizes.rows,
      number: batch + 1,
      lr: learningRate(config, batch),
      sparsity_coefficient: sparsityCoefficient(config, batch),
      k: sizes.base === "topk" ? k : Math.floor(k * sizes.rows),
    });
  }

  #writeStep(step: {
    rows: number;
    number: number;
    lr: number;
    sparsity_coefficient: number;
    k: number;
  }): void {
    const { gpu, config, buffers } = this.#parts;
    const { rows, number, lr, sparsity_coefficient, k } = step;
    const scalars = packStep({
      rows,
      number,
      step_size: lr / (1 - config.adam_beta1 ** Math.max(1, number)),
      second_moment_scale: 1 / Math.sqrt(1 - config.adam_beta2 ** Math.max(1, number)),
      sparsity_coefficient,
      k,
      threshold_scale: thresholdScale(config, number),
    });
    gpu.device.queue.writeBuffer(buffers.step, 0, scalars);
  }

  #collect(): StepMetrics[] {
    const { gpu, ring } = this.#parts;
    if (this.#lost !== null) throw this.#lost;
    const error = gpu.uncapturedError();
    if (error !== null) throw new DeviceFailedError(error);
    return ring.collect().map(({ tag, statistics }) => this.#metrics(tag, statistics));
  }

  #metrics({ step, lr }: SubmittedStep, s: Statistics): StepMetrics {
    if (s.diverged !== null) throw new DivergedError(s.diverged);
    const { sizes, gpu, config } = this.#parts;
    const { rows } = sizes;
    const l0 = s.n_active / rows;
    const quadratic = sizes.base === "jumprelu" && config.jumprelu_sparsity_loss_mode === "quadratic";
    const penalty = quadratic ? (l0 / config.target_l0! - 1) ** 2 : s.sparsity / rows;
    const mse_loss = s.mse / rows;
    const sparsity_loss = s.coefficient * penalty;
    const aux_loss = (s.auxiliary + config.pre_act_loss_coefficient * s.pre_act) / rows;
    return {
      step,
      tokens: step * rows,
      loss: mse_loss + sparsity_loss + aux_loss,
      mse_loss,
      sparsity_loss,
      aux_loss,
      l0,
      explained_variance: 1 - s.error_deviation / s.y_deviation,
      fvu: s.error / s.y_deviation,
      dead_features: s.n_dead,
      grad_norm: s.grad_norm,
      lr,
      sparsity_coefficient: s.coefficient,
      tokens_per_second: this.#throughput.stepsPerSecond * rows,
      gpu_bytes: gpu.ledger.used,
    };
  }

  /** Statistics come at intervals; what leaves the trainer for good is checked at once. */
  async #checkFinite(): Promise<void> {
    const { gpu, buffers } = this.#parts;
    const [mark] = await this.#wait(readUint32(gpu, buffers.counters, divergenceOffset, 4));
    const step = divergedStep(mark!);
    if (step !== null) throw new DivergedError(step);
  }

  /** Waits for the GPU. A lost device ends every wait: some calls resolve, others reject. */
  async #wait<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (cause) {
      if (cause instanceof DivergedError) throw cause;
      // The news of the loss may come a moment after the calls it ends.
      await new Promise((resume) => setTimeout(resume, 50));
      throw this.#lost ?? cause;
    }
  }
}

/** 1 / (1 − (1 − r)^t): what the running mean of the smallest kept activation lacks after t steps; 0 before any. */
function thresholdScale({ topk_threshold_lr: rate }: TrainingConfig, steps: number): number {
  return steps === 0 ? 0 : 1 / (1 - (1 - rate) ** steps);
}

/** Block sums f32 [blocks, 4·stride] to column sums of all padded columns. */
function addBlocks(sums: Float32Array, { stride_out }: StepSizes): Float64Array {
  const total = new Float64Array(4 * stride_out);
  sums.forEach((sum, i) => {
    total[i % total.length]! += sum;
  });
  return total;
}
