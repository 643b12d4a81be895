import type { ActivationSource, OpenSource } from "../data/source.ts";
import { encodeDispatches } from "../device/dispatch.ts";
import type { Gpu } from "../device/gpu.ts";
import type { Profile } from "../device/profiler.ts";
import type { TrainingConfig } from "./config.ts";
import { initializeParameters } from "./initialize.ts";
import { allocate, checkBindings, planBuffers, type StepBuffers } from "./memory.ts";
import { estimate, type Normalization, uploadNormalization } from "./normalization.ts";
import type { Sae, StateTensor } from "./sae.ts";
import { SaeTrainer, type SubmittedStep } from "./sae-trainer.ts";
import { stepSizes } from "./sizes.ts";
import { uploadState } from "./state.ts";
import { StatisticsRing, statisticsRingBytes } from "./statistics-ring.ts";
import { planStep } from "./step-plan.ts";

/**
 * One row of training metrics, of one step. Losses are in the training (normalised) space; definitions in metrics/.
 * What the losses are made of stands in each architecture's file.
 */
export interface StepMetrics {
  step: number;
  tokens: number;
  /** mse_loss + sparsity_loss + aux_loss. */
  loss: number;
  mse_loss: number;
  sparsity_loss: number;
  aux_loss: number;
  l0: number;
  explained_variance: number;
  fvu: number;
  dead_features: number;
  grad_norm: number;
  lr: number;
  /** The penalty's coefficient in this step: after warm-up, and as steered towards target_l0. 0 where there is none. */
  sparsity_coefficient: number;
  tokens_per_second: number;
  /** Bytes the ledger holds on the device. */
  gpu_bytes: number;
}

/**
 * Metrics over fresh or whole data with the weights as they stand (their running mean, with ema_decay); no weight is
 * touched. In the training space, where each hook point is scaled by itself.
 */
export interface Evaluation {
  tokens: number;
  mse: number;
  fvu: number;
  explained_variance: number;
  l0: number;
  /** Features that fired on none of the evaluated tokens. */
  dead_features: number;
  /** Firing frequency per feature, [d_sae], in [0, 1]. */
  feature_frequency: Float32Array;
}

/**
 * Everything a resumed trainer needs to go on bit for bit. Tensor names: the architecture's parameters (W_enc
 * [d_sae, input], W_dec [d_sae, output], biases, …; see parameters.ts), `adam_m.*`, `adam_v.*` and `ema.*` of the same
 * shapes, `tokens_since_fired` u32 [d_sae], `input_scale` and `input_mean` of the normalisation, `steering` of
 * thresholds and coefficients.
 */
export interface TrainerState {
  step: number;
  tensors: Record<string, StateTensor>;
}

export interface TrainerOptions {
  gpu: Gpu;
  config: TrainingConfig;
  /** Rows of `sourceWidth(config)` columns. */
  source: ActivationSource;
  /** State to go on from; without it the trainer initialises from config.seed. */
  resume?: TrainerState;
  /**
   * Parameters to start from instead of random ones, by SAELens' names and in SAELens' orientation (W_enc
   * [d_in, d_sae]), in the normalised space; parameters that are not given are initialised as ever.
   */
  init?: Record<string, StateTensor>;
}

/** Bytes the trainer will take, by purpose, before anything is allocated. */
export interface MemoryPlan {
  parts: { name: string; bytes: number }[];
  total: number;
}

export interface Trainer {
  readonly config: TrainingConfig;
  /** Steps taken (submitted). */
  readonly step: number;
  readonly totalSteps: number;
  readonly memory: MemoryPlan;
  /** Encodes and submits one step; waits only to bound the queue depth. Returns metrics rows that have arrived. */
  advance(): Promise<StepMetrics[]>;
  /** Waits for all submitted work and returns the metrics rows still under way. */
  drain(): Promise<StepMetrics[]>;
  snapshot(): Promise<TrainerState>;
  /** Of at most so many tokens, and at most as many as a finite source has; in batches of one size. */
  evaluate(tokens: number): Promise<Evaluation>;
  /** The SAE for use on raw activations: normalisation folded in, decoder rows of norm 1 where that changes nothing. */
  exportSae(): Promise<Sae>;
  /** Takes `steps` training steps with every kernel timed on its own, and returns the times instead of metrics. */
  profile(steps: number): Promise<Profile>;
  close(): void;
}

/** Exactly what the ledger will hold once a trainer of this configuration is made. */
export function planMemory(config: TrainingConfig, source: ActivationSource): MemoryPlan {
  const byPart = new Map<string, number>();
  for (const { part, bytes } of Object.values(planBuffers(config, stepSizes(config)))) {
    byPart.set(part, (byPart.get(part) ?? 0) + Math.ceil(bytes / 4) * 4);
  }
  byPart.set("Metrics", (byPart.get("Metrics") ?? 0) + statisticsRingBytes);
  byPart.set("Source", source.gpuBytes(config.train_batch_size_tokens));
  const parts = [...byPart].map(([name, bytes]) => ({ name, bytes })).filter(({ bytes }) => bytes > 0);
  return { parts, total: parts.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/**
 * Opens the source, allocates and plans everything, and puts the parameters in place: from `resume`, or fresh, which
 * reads the first batches for the estimates.
 * @throws OutOfMemoryError, BufferTooLargeError, StateMismatchError; nothing stays allocated then.
 */
export function createTrainer(options: TrainerOptions): Promise<SaeTrainer> {
  return createTrainerOn(options, null);
}

/**
 * As createTrainer; with `shared`, on a source that is open already and on its batches in a buffer of the caller, who
 * closes both.
 */
export async function createTrainerOn(
  { gpu, config, source, resume, init }: TrainerOptions,
  shared: { opened: OpenSource; raw: GPUBuffer } | null,
): Promise<SaeTrainer> {
  const sizes = stepSizes(config);
  if (source.d_in !== sizes.raw_width) {
    throw new RangeError(
      `The configuration reads rows of ${sizes.raw_width} columns, but the source's have ${source.d_in}.`,
    );
  }
  const { raw: rawPlan, ...plans } = planBuffers(config, sizes);
  checkBindings({ ...plans, raw: rawPlan }, gpu.capabilities);
  const cleanup: (() => void)[] = [];
  try {
    const own = allocate(gpu, plans);
    cleanup.push(() => {
      for (const buffer of Object.values(own)) gpu.ledger.free(buffer);
    });
    const { raw } = shared ?? allocate(gpu, { raw: rawPlan });
    if (shared === null) cleanup.push(() => gpu.ledger.free(raw));
    const buffers: StepBuffers = { ...own, raw };
    const ring = new StatisticsRing<SubmittedStep>(gpu);
    cleanup.push(() => ring.close());
    const opened = shared?.opened ?? (await source.open(gpu, config.train_batch_size_tokens));
    if (shared === null) cleanup.push(() => opened.close());
    const plan = await planStep(gpu, config, sizes, buffers);
    let normalization: Normalization;
    if (resume === undefined) {
      const estimates = await estimate(gpu, config, sizes, opened, buffers.raw);
      normalization = estimates.normalization;
      initializeParameters(gpu, config, sizes, buffers, estimates.b_dec, init);
    } else {
      normalization = uploadState(gpu, config, sizes, buffers, resume);
    }
    uploadNormalization(gpu, buffers, normalization);
    const encoder = gpu.device.createCommandEncoder({ label: "start" });
    const pass = encoder.beginComputePass();
    encodeDispatches(pass, plan.start);
    pass.end();
    gpu.device.queue.submit([encoder.finish()]);
    return new SaeTrainer({
      gpu,
      config,
      source: opened,
      sourceTokens: source.n_tokens,
      memory: planMemory(config, source),
      sizes,
      buffers,
      plan,
      ring,
      normalization,
      step: resume?.step ?? 0,
      cleanup,
    });
  } catch (refused) {
    for (const undo of cleanup.reverse()) undo();
    throw refused;
  }
}
