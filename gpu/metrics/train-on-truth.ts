import type { SyntheticSource } from "../data/synthetic.ts";
import type { Gpu } from "../device/gpu.ts";
import type { TrainingConfig } from "../sae/config.ts";
import type { Sae } from "../sae/sae.ts";
import { createTrainer, type StepMetrics } from "../sae/trainer.ts";
import { runTraining } from "../sae/training-loop.ts";
import { evaluateRecovery } from "./evaluate-recovery.ts";
import type { Recovery } from "./recovery.ts";

/** An SAE trained on a known ground truth, and how well it recovers it. */
export interface TruthOutcome {
  sae: Sae;
  /** Firing frequency per latent on fresh samples, [d_sae]. */
  feature_frequency: Float32Array;
  recovery: Recovery;
  steps: number;
  /** Of the training alone, without making the true features before and scoring after. */
  seconds: number;
}

export interface TruthTraining {
  gpu: Gpu;
  source: SyntheticSource;
  config: TrainingConfig;
  /** Tokens to score on; default: as `evaluateRecovery`. */
  tokens?: number;
  /** Rows of metrics, as they arrive. */
  onMetrics?: (rows: readonly StepMetrics[], totalSteps: number) => void;
  /** Aborting stops at once; the signal's reason is thrown. */
  signal?: AbortSignal;
}

/** Trains on fresh samples, without files or checkpoints, and scores the outcome against the truth. */
export async function trainOnTruth(options: TruthTraining): Promise<TruthOutcome> {
  const { gpu, source, config, tokens, onMetrics, signal } = options;
  await source.prepare(gpu);
  const trainer = await createTrainer({ gpu, config, source });
  try {
    const startedAt = performance.now();
    await runTraining(trainer, {
      checkpointEverySteps: 0,
      onCheckpoint: () => Promise.resolve(),
      onMetrics: (rows) => onMetrics?.(rows, trainer.totalSteps),
      ...(signal === undefined ? {} : { signal }),
    });
    const seconds = (performance.now() - startedAt) / 1_000;
    const sae = await trainer.exportSae();
    const { feature_frequency } = await trainer.evaluate(16 * config.train_batch_size_tokens);
    const recovery = await evaluateRecovery({
      gpu,
      source,
      sae,
      ...(tokens === undefined ? {} : { tokens }),
    });
    return { sae, feature_frequency, recovery, steps: trainer.totalSteps, seconds };
  } finally {
    trainer.close();
  }
}
