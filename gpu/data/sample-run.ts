import { type TrainingConfig, trainingConfigSchema } from "../sae/config.ts";
import { type SyntheticConfig, syntheticConfigSchema } from "./synthetic.ts";

/**
 * The run that a new installation makes by itself, and the Playground's first: a TopK SAE on known features, about two
 * minutes on two software-rendered cores. A fixed k recovers features best where few tokens hold more of them than k
 * and features overlap little, hence as many features as dimensions, 4.3 of them a token in the mean, and k = 6.
 */
export const sampleSynthetic: SyntheticConfig = syntheticConfigSchema.parse({
  d_in: 64,
  n_features: 64,
  firing_distribution: "zipf",
  firing_probability: 0.2,
  firing_probability_min: 0.05,
});

export const sampleTraining: TrainingConfig = trainingConfigSchema.parse({
  d_in: sampleSynthetic.d_in,
  d_sae: sampleSynthetic.n_features,
  k: 6,
  lr: 1e-3,
  lr_warm_up_steps: 100,
  lr_decay_steps: 400,
  train_batch_size_tokens: 2_048,
  training_tokens: 1_500 * 2_048,
  dead_feature_window_tokens: 20_000,
  metrics_every_steps: 10,
  checkpoint_every_steps: 150,
});
