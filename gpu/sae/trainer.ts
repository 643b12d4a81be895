import type { ActivationSource } from "../data/source.ts";
import type { Capabilities, Gpu } from "../device/gpu.ts";
import type { Profile } from "../device/profiler.ts";
import type { TrainingConfig } from "./config.ts";
import { estimate } from "./initialize.ts";
import { initializeState, uploadState } from "./state.ts";
import { StatisticsRing, statisticsRingBytes } from "./statistics-ring.ts";
import { planTopk } from "./topk.ts";
import { allocate, checkBindings, planBuffers, topkSizes } from "./topk-memory.ts";
import { type SubmittedStep, TopkTrainer } from "./topk-trainer.ts";

/** One row of training metrics, of one step. Losses are in the training (normalised) space; definitions in metrics/. */
export interface StepMetrics {
  step: number;
  tokens: number;
  loss: number;
  mse_loss: number;
  aux_loss: number;
  l0: number;
  explained_variance: number;
  fvu: number;
  dead_features: number;
  grad_norm: number;
  lr: number;
  tokens_per_second: number;
  /** Bytes the ledger holds on the device. */
  gpu_bytes: number;
}

/** Metrics over fresh or whole data with the weights as they stand; no weight is touched. */
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
 * Everything a resumed trainer needs to go on bit for bit. Tensor names: W_enc, W_dec [d_sae, d_in], b_enc [d_sae],
 * b_dec [d_in], `adam_m.*` and `adam_v.*` of the same shapes, `tokens_since_fired` u32 [d_sae].
 */
export interface TrainerState {
  step: number;
  /** Factor by which inputs are multiplied (normalize_activations). */
  activation_scale: number;
  tensors: Record<string, StateTensor>;
}

export interface StateTensor {
  shape: number[];
  data: Float32Array | Uint32Array;
}

/** SAELens' tensors in SAELens' orientation, activation scale folded in: W_enc [d_in, d_sae], W_dec [d_sae, d_in], … */
export interface SaeTensors {
  W_enc: StateTensor;
  b_enc: StateTensor;
  W_dec: StateTensor;
  b_dec: StateTensor;
}

export interface TrainerOptions {
  gpu: Gpu;
  config: TrainingConfig;
  source: ActivationSource;
  /** State to go on from; without it the trainer initialises from config.seed. */
  resume?: TrainerState;
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
  exportSae(): Promise<SaeTensors>;
  /** Takes `steps` training steps with every kernel timed on its own, and returns the times instead of metrics. */
  profile(steps: number): Promise<Profile>;
  close(): void;
}

/** Exactly what the ledger will hold once a trainer of this configuration is made. */
export function planMemory(
  config: TrainingConfig,
  source: ActivationSource,
  capabilities: Capabilities,
): MemoryPlan {
  const byPart = new Map<string, number>();
  for (const { part, bytes } of Object.values(planBuffers(config, topkSizes(config, capabilities)))) {
    byPart.set(part, (byPart.get(part) ?? 0) + bytes);
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
export async function createTrainer({ gpu, config, source, resume }: TrainerOptions): Promise<Trainer> {
  if (source.d_in !== config.d_in) {
    throw new RangeError(`d_in is ${config.d_in}, but the source's activations have width ${source.d_in}.`);
  }
  const sizes = topkSizes(config, gpu.capabilities);
  const plans = planBuffers(config, sizes);
  checkBindings(plans, gpu.capabilities);
  const cleanup: (() => void)[] = [];
  try {
    const buffers = allocate(gpu, plans);
    cleanup.push(() => {
      for (const buffer of Object.values(buffers)) gpu.ledger.free(buffer);
    });
    const ring = new StatisticsRing<SubmittedStep>(gpu);
    cleanup.push(() => ring.close());
    const opened = await source.open(gpu, config.train_batch_size_tokens);
    cleanup.push(() => opened.close());
    const plan = await planTopk(gpu, config, sizes, buffers);
    let activation_scale: number;
    if (resume === undefined) {
      const estimates = await estimate(gpu, config, opened, buffers.raw);
      activation_scale = estimates.activation_scale;
      initializeState(gpu, config, buffers, estimates.b_dec);
    } else {
      activation_scale = resume.activation_scale;
      uploadState(gpu, config, buffers, resume);
    }
    return new TopkTrainer({
      gpu,
      config,
      source: opened,
      sourceTokens: source.n_tokens,
      memory: planMemory(config, source, gpu.capabilities),
      sizes,
      buffers,
      plan,
      ring,
      activation_scale,
      step: resume?.step ?? 0,
      cleanup,
    });
  } catch (refused) {
    for (const undo of cleanup.reverse()) undo();
    throw refused;
  }
}
