import { normalQuantile } from "../gpu/data/random.ts";
import { type BaseArchitecture, baseArchitectures } from "../gpu/sae/architecture.ts";
import { type TrainingConfig, type TrainingConfigInput, trainingConfigSchema } from "../gpu/sae/config.ts";
import type { StateTensor } from "../gpu/sae/sae.ts";

/** One point of the grid. */
export interface BenchCase {
  /** Default: topk. */
  architecture?: BaseArchitecture;
  d_in: number;
  d_sae: number;
  /** Features a token: kept where their number is fixed, else active at the start. */
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

/** What each of the others costs beside topk at the same size and the same number of active features. */
const others: BenchCase[] = (
  ["standard", "gated", "jumprelu", "batchtopk", "matryoshka_batchtopk"] as const
).map((architecture) => ({ architecture, d_in: 128, d_sae: 1024, k: 32, batch: 1024 }));

const large: BenchCase[] = [
  { d_in: 512, d_sae: 16_384, k: 32, batch: 4096 },
  { d_in: 768, d_sae: 16_384, k: 32, batch: 4096 },
  { d_in: 768, d_sae: 32_768, k: 64, batch: 8192 },
];

/** The standard grid: what an adapter of this kind trains in reasonable time. */
export function standardCases(software: boolean, quick: boolean): BenchCase[] {
  if (quick) return small.slice(0, 1);
  return [...small, ...others, ...(software ? [] : large)];
}

/** The configuration a case is trained with: defaults for all that the case does not say, and no end in sight. */
export function caseConfig(benchCase: BenchCase): TrainingConfig {
  const { architecture = "topk", d_in, d_sae, batch, dead_features = false } = benchCase;
  return trainingConfigSchema.parse({
    architecture,
    d_in,
    d_sae,
    train_batch_size_tokens: batch,
    training_tokens: 1e12,
    n_batches_for_norm_estimate: 2,
    ...ownOptions(benchCase),
    ...(dead_features ? { dead_feature_window_tokens: 1 } : {}),
  });
}

/** Pre-activations are standard normal where encoder rows have norm 1: the quantile above which k of d_sae lie. */
function cutOf({ d_sae, k }: BenchCase): number {
  return normalQuantile(1 - k / d_sae);
}

function ownOptions(benchCase: BenchCase): Partial<TrainingConfigInput> {
  switch (benchCase.architecture) {
    case "standard":
      return { decoder_init_norm: 1 };
    case "gated":
      return {};
    case "jumprelu":
      return { decoder_init_norm: 1, jumprelu_init_threshold: cutOf(benchCase) };
    default:
      return { k: benchCase.k };
  }
}

/**
 * Weights a case starts with: penalised architectures need a whole training until few features are active, so that
 * biases make them few from the start.
 */
export function caseInit(benchCase: BenchCase): Record<string, StateTensor> {
  const { architecture, d_sae } = benchCase;
  const bias = { shape: [d_sae], data: new Float32Array(d_sae).fill(-cutOf(benchCase)) };
  if (architecture === "standard") return { b_enc: bias };
  return architecture === "gated" ? { b_gate: bias } : {};
}

/** A case in a line of text. */
export function caseName({ architecture = "topk", d_in, d_sae, k, batch }: BenchCase): string {
  return `${architecture}, d_in ${d_in}, d_sae ${d_sae}, k ${k}, batch ${batch}`;
}

/**
 * Reads `d_in,d_sae,k,batch`, or with an architecture behind it.
 * @throws RangeError with the form that is expected.
 */
export function parseCase(text: string): BenchCase {
  const [numbers, architecture] = [text.split(",").slice(0, 4).map(Number), text.split(",").slice(4)];
  const [d_in, d_sae, k, batch] = numbers;
  const known = baseArchitectures.find((one) => one === architecture[0]);
  if (
    numbers.length !== 4 ||
    !numbers.every((n) => Number.isInteger(n) && n > 0) ||
    architecture.length > 1 ||
    (architecture.length === 1 && known === undefined)
  ) {
    throw new RangeError(
      `A case is d_in,d_sae,k,batch in whole numbers, for example 128,1024,32,1024, or with one of ${baseArchitectures.join(", ")} behind it; not "${text}".`,
    );
  }
  return { ...(known && { architecture: known }), d_in: d_in!, d_sae: d_sae!, k: k!, batch: batch! };
}
