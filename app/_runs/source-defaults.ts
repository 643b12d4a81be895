import { sampleTraining } from "../../gpu/data/sample-run.ts";
import { type SyntheticConfig, syntheticConfigSchema } from "../../gpu/data/synthetic.ts";
import type { BaseArchitecture } from "../../gpu/sae/architecture.ts";
import type { TrainingConfigInput } from "../../gpu/sae/config.ts";
import { peakLearningRate } from "../../gpu/sae/schedule.ts";

export type Defaults = Partial<TrainingConfigInput>;

function powerOfTwoUpTo(value: number): number {
  return 2 ** Math.max(0, Math.floor(Math.log2(value)));
}

/**
 * Defaults that depend on the activations: 8 features per dimension; of those an eighth of the width, at most 32, fire on
 * a token, be it as k or as the L0 that a penalty is steered towards; four passes over the set; a feature is dead when it
 * was silent for a whole pass.
 */
export function activationSetDefaults({ n_tokens, d_in }: { n_tokens: number; d_in: number }): Defaults {
  const d_sae = 8 * d_in;
  const wantedBatch = n_tokens < 1_000_000 ? 1_024 : 4_096;
  const firing = Math.min(32, d_sae, powerOfTwoUpTo(Math.max(1, d_in / 8)));
  return {
    d_sae,
    k: firing,
    target_l0: firing,
    training_tokens: 4 * n_tokens,
    train_batch_size_tokens: Math.min(wantedBatch, powerOfTwoUpTo(n_tokens)),
    dead_feature_window_tokens: Math.min(1_000_000, n_tokens),
  };
}

/** Tokens from which on one pass over them is enough. */
const plenty = 10_000_000;

/**
 * Defaults for training beside a model that has so many tokens of text to train on. A pass over them costs a pass of the
 * model, so many tokens are gone through once, and few only until there were `plenty`.
 */
export function liveDefaults({ n_tokens, d_in }: { n_tokens: number; d_in: number }): Defaults {
  return {
    ...activationSetDefaults({ n_tokens, d_in }),
    training_tokens: n_tokens >= plenty ? n_tokens : Math.min(4 * n_tokens, plenty),
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
 * Defaults for a generator: the sample run's, with a feature for every true one. A fixed k has room for tokens that hold
 * more than the mean; a penalty is steered towards the mean itself. Of a generator that is not valid yet, only the
 * sample's part.
 */
export function syntheticDefaults(generator: object, base: BaseArchitecture): Defaults {
  const { training_tokens, train_batch_size_tokens, dead_feature_window_tokens } = sampleTraining;
  const lr = syntheticLr(base);
  const shared = { lr, training_tokens, train_batch_size_tokens, dead_feature_window_tokens };
  const parsed = syntheticConfigSchema.safeParse(generator);
  if (!parsed.success) return { ...shared, d_sae: sampleTraining.d_sae, k: sampleTraining.k };
  const d_sae = parsed.data.n_features;
  const firing = meanFiring(parsed.data);
  return {
    ...shared,
    d_sae,
    k: Math.max(1, Math.min(d_sae, 4_096, Math.round(1.4 * firing))),
    target_l0: Math.min(d_sae, Number(firing.toPrecision(2))),
  };
}

/** Width of a generator's activations; the sample's while it is not valid yet. */
export function generatedWidth(generator: object): number {
  const parsed = syntheticConfigSchema.safeParse(generator);
  return parsed.success ? parsed.data.d_in : sampleTraining.d_in;
}

/**
 * Learning rate of a run as short as the sample: its own; three times that under a penalty, which takes longer to find
 * the features. Of the sample's 64, standard then finds all in its 1,500 steps (MCC 1.00), and 0.74 without.
 */
export function syntheticLr(base: BaseArchitecture): number {
  const lr = peakLearningRate(sampleTraining);
  return ["standard", "gated", "jumprelu"].includes(base) ? 3 * lr : lr;
}

/** A checkpoint now and then over a run of so many steps. */
export function checkpointDefaults(steps: number): Defaults {
  return { checkpoint_every_steps: Math.max(100, 100 * Math.ceil(steps / 600)) };
}
