import { sampleTraining } from "../../gpu/data/sample-run.ts";
import { type SyntheticConfig, syntheticConfigSchema } from "../../gpu/data/synthetic.ts";
import type { TrainingConfigInput } from "../../gpu/sae/config.ts";

export type Defaults = Partial<TrainingConfigInput>;

function powerOfTwoUpTo(value: number): number {
  return 2 ** Math.max(0, Math.floor(Math.log2(value)));
}

/** One significant digit, as a person would choose it. */
function oneDigit(value: number): number {
  return Number(value.toPrecision(1));
}

/**
 * Defaults that depend on the activations: 8 features per dimension; k an eighth of the width, at most 32; the learning
 * rate that dictionary_learning takes for TopK, 2·10⁻⁴ / √(d_sae / 2¹⁴); four passes over the set; a feature is dead when
 * it was silent for a whole pass.
 */
export function activationSetDefaults({ n_tokens, d_in }: { n_tokens: number; d_in: number }): Defaults {
  const d_sae = 8 * d_in;
  const wantedBatch = n_tokens < 1_000_000 ? 1_024 : 4_096;
  return {
    d_in,
    d_sae,
    k: Math.min(32, d_sae, powerOfTwoUpTo(Math.max(1, d_in / 8))),
    lr: oneDigit(2e-4 / Math.sqrt(d_sae / 2 ** 14)),
    training_tokens: 4 * n_tokens,
    train_batch_size_tokens: Math.min(wantedBatch, powerOfTwoUpTo(n_tokens)),
    dead_feature_window_tokens: Math.min(1_000_000, n_tokens),
  };
}

/** Features that fire on a token, in the mean; rates as in the generator. */
function meanFiring(config: SyntheticConfig): number {
  const { n_features: n, firing_probability: max, firing_probability_min: min, zipf_exponent: a } = config;
  if (config.firing_distribution === "flat" || n === 1) return n * max;
  const end = n ** -a;
  let sum = 0;
  for (let rank = 1; rank <= n; rank++) sum += min + ((max - min) * (rank ** -a - end)) / (1 - end);
  return sum;
}

/**
 * Defaults for a generator: the sample run's, with a feature for every true one and room in k for tokens that hold more
 * than the mean. Of a generator that is not valid yet, only the sample's part.
 */
export function syntheticDefaults(generator: object): Defaults {
  const { lr, training_tokens, train_batch_size_tokens, dead_feature_window_tokens } = sampleTraining;
  const shared = { lr, training_tokens, train_batch_size_tokens, dead_feature_window_tokens };
  const parsed = syntheticConfigSchema.safeParse(generator);
  if (!parsed.success)
    return { ...shared, d_in: sampleTraining.d_in, d_sae: sampleTraining.d_sae, k: sampleTraining.k };
  const d_sae = parsed.data.n_features;
  const k = Math.max(1, Math.min(d_sae, 4_096, Math.round(1.4 * meanFiring(parsed.data))));
  return { ...shared, d_in: parsed.data.d_in, d_sae, k };
}

/** Schedule of a run of so many steps: a twelfth to warm up, the last quarter to decay, a few checkpoints. */
export function scheduleDefaults(steps: number): Defaults {
  return {
    lr_warm_up_steps: Math.min(1_000, Math.floor(steps / 12)),
    lr_decay_steps: Math.floor(steps / 4),
    checkpoint_every_steps: Math.max(100, 100 * Math.ceil(steps / 600)),
  };
}
