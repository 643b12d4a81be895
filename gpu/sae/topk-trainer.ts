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
import { learningRate } from "./schedule.ts";
import { downloadSae, downloadState } from "./state.ts";
import type { StatisticsRing } from "./statistics-ring.ts";
import { Throughput } from "./throughput.ts";
import { resetTopk, type TopkPlan } from "./topk.ts";
import type { TopkBuffers, TopkSizes } from "./topk-memory.ts";
import type { Evaluation, MemoryPlan, SaeTensors, StepMetrics, Trainer, TrainerState } from "./trainer.ts";

/** Steps that may be queued on the GPU; `advance` waits before it queues another. */
const queueDepth = 3;

/** What is known of a step when it is submitted, and goes into its row of metrics. */
export interface SubmittedStep {
  step: number;
  lr: number;
}

/** Everything a trainer is made of; see createTrainer. */
export interface TopkTrainerParts {
  gpu: Gpu;
  config: TrainingConfig;
  source: OpenSource;
  /** Rows of a finite source. */
  sourceTokens: number | null;
  memory: MemoryPlan;
  sizes: TopkSizes;
  buffers: TopkBuffers;
  plan: TopkPlan;
  ring: StatisticsRing<SubmittedStep>;
  activation_scale: number;
  step: number;
  /** Run in reverse order by close. */
  cleanup: (() => void)[];
}

/** The training loop's one step, and what is read of the GPU between steps. */
export class TopkTrainer implements Trainer {
  readonly config: TrainingConfig;
  readonly totalSteps: number;
  readonly memory: MemoryPlan;
  readonly #parts: TopkTrainerParts;
  readonly #throughput = new Throughput(performance.now());
  #queued: Promise<void>[] = [];
  #step: number;
  #closed = false;
  #lost: DeviceFailedError | null = null;

  constructor(parts: TopkTrainerParts) {
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
    if (this.#step >= this.totalSteps) throw new RangeError(`All ${this.totalSteps} steps are taken.`);
    const { gpu, config, source, buffers, plan, ring, sizes } = this.#parts;
    const batch = this.#step;
    const number = batch + 1;
    await source.ready("training", batch, sizes.rows);
    while (this.#queued.length >= queueDepth) await this.#wait(this.#queued.shift()!);
    const measured = number % config.metrics_every_steps === 0 || number === this.totalSteps;
    const rows = this.#collect();
    while (measured && ring.full) {
      await this.#wait(ring.oldest());
      rows.push(...this.#collect());
    }
    const lr = learningRate(config, batch);
    this.#writeStep(sizes.rows, number, lr);
    const encoder = gpu.device.createCommandEncoder({ label: `step ${number}` });
    source.encodeBatch(encoder, buffers.raw, "training", batch, sizes.rows);
    resetTopk(encoder, sizes, buffers);
    const pass = encoder.beginComputePass();
    encodeDispatches(pass, plan.training);
    if (measured) encodeDispatches(pass, plan.metrics);
    pass.end();
    if (measured) ring.copy(encoder, buffers.statistics, { step: number, lr });
    gpu.device.queue.submit([encoder.finish()]);
    ring.submitted();
    this.#queued.push(
      gpu.device.queue.onSubmittedWorkDone().then(() => this.#throughput.ended(performance.now())),
    );
    this.#step = number;
    return rows;
  }

  async drain(): Promise<StepMetrics[]> {
    const queued = this.#queued;
    this.#queued = [];
    await this.#wait(Promise.all(queued));
    await this.#wait(this.#parts.ring.settle());
    return this.#collect();
  }

  async snapshot(): Promise<TrainerState> {
    const { gpu, config, buffers, activation_scale } = this.#parts;
    const state = await this.#wait(downloadState(gpu, config, buffers, this.#step, activation_scale));
    await this.#checkFinite();
    return state;
  }

  async exportSae(): Promise<SaeTensors> {
    const { gpu, config, buffers, activation_scale } = this.#parts;
    const sae = await this.#wait(downloadSae(gpu, config, buffers, activation_scale));
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
    const { gpu, config, source, buffers, plan, sizes } = this.#parts;
    const before = async (encoder: GPUCommandEncoder) => {
      const batch = this.#step;
      await source.ready("training", batch, sizes.rows);
      this.#writeStep(sizes.rows, batch + 1, learningRate(config, batch));
      source.encodeBatch(encoder, buffers.raw, "training", batch, sizes.rows);
      resetTopk(encoder, sizes, buffers);
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
    const { gpu, source, sizes, buffers, plan } = this.#parts;
    await source.ready("evaluation", batch, rows);
    this.#writeStep(rows, this.#step, 0);
    const encoder = gpu.device.createCommandEncoder({ label: `evaluation ${batch}` });
    source.encodeBatch(encoder, buffers.raw, "evaluation", batch, rows);
    resetTopk(encoder, sizes, buffers);
    const pass = encoder.beginComputePass();
    encodeDispatches(pass, plan.evaluation);
    pass.end();
    gpu.device.queue.submit([encoder.finish()]);
    const statistics = unpackStatistics(await readBuffer(gpu, buffers.statistics));
    if (statistics.diverged !== null) throw new DivergedError(statistics.diverged);
    return {
      rows,
      statistics,
      x_sum: addBlocks(await readFloat32(gpu, buffers.x_sums), sizes),
      error_sum: addBlocks(await readFloat32(gpu, buffers.error_sums), sizes),
    };
  }

  #writeStep(rows: number, number: number, lr: number): void {
    const { gpu, config, buffers, activation_scale } = this.#parts;
    const scalars = packStep({
      rows,
      number,
      activation_scale,
      step_size: lr / (1 - config.adam_beta1 ** Math.max(1, number)),
      second_moment_scale: 1 / Math.sqrt(1 - config.adam_beta2 ** Math.max(1, number)),
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
    const { sizes, gpu } = this.#parts;
    const { rows } = sizes;
    const mse_loss = s.error / rows;
    // The auxiliary error already carries the loss's factor once.
    const aux_loss = s.aux_scale > 0 ? s.aux_error / s.aux_scale / rows : 0;
    return {
      step,
      tokens: step * rows,
      loss: mse_loss + aux_loss,
      mse_loss,
      aux_loss,
      l0: s.active / rows,
      explained_variance: 1 - s.error_deviation / s.x_deviation,
      fvu: s.error / s.x_deviation,
      dead_features: s.n_dead,
      grad_norm: s.grad_norm,
      lr,
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

/** Block sums f32 [blocks, 4·stride] to column sums [d_in]. */
function addBlocks(sums: Float32Array, { d_in, stride }: TopkSizes): Float64Array {
  const total = new Float64Array(d_in);
  for (let start = 0; start < sums.length; start += 4 * stride) {
    for (let i = 0; i < d_in; i++) total[i]! += sums[start + i]!;
  }
  return total;
}
