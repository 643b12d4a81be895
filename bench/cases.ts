import { type TrainingConfig, trainingConfigSchema } from "../gpu/sae/config.ts";

/** One point of the grid. */
export interface BenchCase {
  d_in: number;
  d_sae: number;
  k: number;
  /** Tokens per step. */
  batch: number;
  /** Count a feature as dead as soon as it misses a batch, so that AuxK has work. */
  dead_features?: boolean;
}

const small: BenchCase[] = [
  { d_in: 32, d_sae: 64, k: 4, batch: 512 },
  { d_in: 64, d_sae: 512, k: 16, batch: 1024 },
  { d_in: 128, d_sae: 1024, k: 32, batch: 1024 },
  { d_in: 128, d_sae: 4096, k: 8, batch: 256, dead_features: true },
];

const large: BenchCase[] = [
  { d_in: 512, d_sae: 16_384, k: 32, batch: 4096 },
  { d_in: 768, d_sae: 16_384, k: 32, batch: 4096 },
  { d_in: 768, d_sae: 32_768, k: 64, batch: 8192 },
];

/** The standard grid: what an adapter of this kind trains in reasonable time. */
export function standardCases(software: boolean, quick: boolean): BenchCase[] {
  if (quick) return small.slice(0, 1);
  return software ? small : [...small, ...large];
}

/** The configuration a case is trained with: defaults for all that the case does not say, and no end in sight. */
export function caseConfig({ d_in, d_sae, k, batch, dead_features = false }: BenchCase): TrainingConfig {
  return trainingConfigSchema.parse({
    d_in,
    d_sae,
    k,
    train_batch_size_tokens: batch,
    training_tokens: 1e12,
    n_batches_for_norm_estimate: 2,
    ...(dead_features ? { dead_feature_window_tokens: 1 } : {}),
  });
}

/**
 * Reads `d_in,d_sae,k,batch`.
 * @throws RangeError with the form that is expected.
 */
export function parseCase(text: string): BenchCase {
  const numbers = text.split(",").map(Number);
  const [d_in, d_sae, k, batch] = numbers;
  if (numbers.length !== 4 || !numbers.every((n) => Number.isInteger(n) && n > 0)) {
    throw new RangeError(
      `A case is d_in,d_sae,k,batch in whole numbers, for example 128,1024,32,1024; not "${text}".`,
    );
  }
  return { d_in: d_in!, d_sae: d_sae!, k: k!, batch: batch! };
}
