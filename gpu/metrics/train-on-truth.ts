import type { SyntheticSource } from "../data/synthetic.ts";
import type { Gpu } from "../device/gpu.ts";
import type { TrainingConfig } from "../sae/config.ts";
import { DivergedError } from "../sae/errors.ts";
import type { Sae } from "../sae/sae.ts";
import type { StepMetrics } from "../sae/trainer.ts";
import { createTrainerGroup, type GroupMember, type TrainerGroup } from "../sae/trainer-group.ts";
import { evaluateRecovery } from "./evaluate-recovery.ts";
import type { Recovery } from "./recovery.ts";
import { Turns } from "./turns.ts";

/** An SAE trained on a known ground truth, and how well it recovers it. */
export interface TruthOutcome {
  sae: Sae;
  /** Firing frequency per latent on fresh samples, [d_sae]. */
  feature_frequency: Float32Array;
  recovery: Recovery;
}

export interface TruthTraining {
  gpu: Gpu;
  source: SyntheticSource;
  /** Of one batch size and one number of steps: all are trained on the same samples, each drawn once. */
  configs: readonly TrainingConfig[];
  /** Tokens to score on; default: as `evaluateRecovery`. */
  tokens?: number;
  /** Rows of metrics by configuration, as they arrive. */
  onMetrics?: (rows: readonly (readonly StepMetrics[])[], totalSteps: number) => void;
  /** Aborting stops at once; the signal's reason is thrown. */
  signal?: AbortSignal;
}

export interface TruthPass {
  /** By configuration; an Error for one that was left behind, because it diverged for instance. */
  outcomes: (TruthOutcome | Error)[];
  steps: number;
  /** Of training all of them, without making the true features before and scoring after. */
  seconds: number;
}

/**
 * Trains on fresh samples, without files or checkpoints, and scores each outcome against the truth. Throws all that
 * createTrainerGroup throws, and the last failure where none is left.
 */
export async function trainOnTruth(options: TruthTraining): Promise<TruthPass> {
  const { gpu, source, configs, tokens } = options;
  await source.prepare(gpu);
  const group = await createTrainerGroup({ gpu, configs, source });
  try {
    const startedAt = performance.now();
    await trainAll(group, options);
    const seconds = (performance.now() - startedAt) / 1_000;
    const outcomes: (TruthOutcome | Error)[] = [];
    for (const { config, trainer, failure } of group.members) {
      outcomes.push(failure ?? (await outcomeOf(config, trainer).catch(divergence)));
    }
    return { outcomes, steps: group.totalSteps, seconds };
  } finally {
    group.close();
  }

  async function outcomeOf(config: TrainingConfig, trainer: GroupMember["trainer"]): Promise<TruthOutcome> {
    const sae = await trainer.exportSae();
    const { feature_frequency } = await trainer.evaluate(16 * config.train_batch_size_tokens);
    const scored = { gpu, source, sae, ...(tokens === undefined ? {} : { tokens }) };
    return { sae, feature_frequency, recovery: await evaluateRecovery(scored) };
  }
}

/** What was learned may turn out not to be finite only now; that is one SAE's failure, not the pass's. */
function divergence(error: unknown): DivergedError {
  if (error instanceof DivergedError) return error;
  throw error;
}

async function trainAll(group: TrainerGroup, { signal, onMetrics }: TruthTraining): Promise<void> {
  const turns = new Turns();
  const report = (rows: StepMetrics[][]) => {
    if (rows.some((own) => own.length > 0)) onMetrics?.(rows, group.totalSteps);
  };
  while (group.step < group.totalSteps) {
    signal?.throwIfAborted();
    report(await group.advance());
    await turns.pause();
  }
  report(await group.drain());
}
