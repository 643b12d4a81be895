import type { BaseArchitecture } from "../sae/architecture.ts";
import type { TrainingConfigInput } from "../sae/config.ts";
import { sampleSynthetic, sampleTraining } from "./sample-run.ts";
import { type SyntheticConfig, syntheticConfigSchema } from "./synthetic.ts";

/** Known generators with the training they are judged by, so that results can be compared. */
export const presetNames = ["sample", "toy", "mini", "synthsaebench-16k"] as const;
export type PresetName = (typeof presetNames)[number];

/** Rates of a long tail, features that vary in size, and trees of exclusive children: as in SynthSAEBench. */
const crowded = {
  firing_distribution: "zipf",
  firing_probability: 0.4,
  zipf_exponent: 0.5,
  magnitude_mean: 5,
  magnitude_mean_last: 4,
  magnitude_std: 0.5,
  magnitude_std_spread: 0.5,
  bias_norm: 0.5,
  correlation_scale: 0.1,
  hierarchy_branching: 4,
  mutually_exclusive_children: true,
  compensate_probabilities: true,
  scale_children_by_parent: true,
  orthogonalize_steps: 100,
  orthogonalize_lr: 3e-4,
  seed: 42,
} as const;

export const syntheticGenerators: Record<PresetName, SyntheticConfig> = {
  sample: sampleSynthetic,

  /** SAELens' smallest example: 16 orthonormal features of size 1, 4.0 of them a token. */
  toy: syntheticConfigSchema.parse({
    d_in: 32,
    n_features: 16,
    bias_norm: 0,
    firing_distribution: "flat",
    firing_probability: 0.25,
    magnitude_mean: 1,
    magnitude_std: 0,
  }),

  /** SynthSAEBench made small enough for a CPU: mean L0 11.6, 8.3 of it from the 256 most frequent features. */
  mini: syntheticConfigSchema.parse({
    ...crowded,
    d_in: 96,
    n_features: 1_024,
    firing_probability_min: 2e-3,
    correlation_rank: 8,
    hierarchy_roots: 32,
    hierarchy_depth: 2,
  }),

  /** arXiv 2602.14687, with children scaled by their parents as its script has it: mean L0 34. */
  "synthsaebench-16k": syntheticConfigSchema.parse({
    ...crowded,
    d_in: 768,
    n_features: 16_384,
    firing_probability_min: 5e-4,
    correlation_rank: 25,
    hierarchy_roots: 128,
    hierarchy_depth: 3,
  }),
};

type Options = Omit<TrainingConfigInput, "architecture" | "d_in">;

interface Recipe {
  /** Of every architecture. */
  all: Options & { training_tokens: number; train_batch_size_tokens: number };
  own: Record<BaseArchitecture, Partial<Options>>;
  /** Share of the run over which the L1 coefficient rises; null: as the architecture has it. */
  l1Rise: number | null;
}

const { architecture: _architecture, d_in: _width, k: sampleK, ...sampleOptions } = sampleTraining;

/** SAELens' learning rate in all these runs. */
const peersLr = { lr: 3e-4 };

/**
 * Sizes, budgets and what decides how many features fire: where SAELens' published runs have it theirs, by SAELens'
 * names. λ is a weight against the squared error, so it means the same only on activations that are not rescaled.
 */
const recipes: Record<PresetName, Recipe> = {
  sample: {
    all: {
      d_sae: sampleOptions.d_sae,
      lr: sampleOptions.lr,
      lr_warm_up_steps: sampleOptions.lr_warm_up_steps,
      lr_decay_steps: sampleOptions.lr_decay_steps,
      train_batch_size_tokens: sampleOptions.train_batch_size_tokens,
      training_tokens: sampleOptions.training_tokens,
      dead_feature_window_tokens: sampleOptions.dead_feature_window_tokens,
      metrics_every_steps: sampleOptions.metrics_every_steps,
      checkpoint_every_steps: sampleOptions.checkpoint_every_steps,
    },
    own: {
      standard: { target_l0: sampleK },
      gated: { target_l0: sampleK },
      jumprelu: { target_l0: sampleK },
      topk: { k: sampleK },
      batchtopk: { k: sampleK },
      matryoshka_batchtopk: { k: sampleK },
    },
    l1Rise: null,
  },
  toy: {
    all: {
      d_sae: 16,
      train_batch_size_tokens: 1_024,
      training_tokens: 10_000_000,
      metrics_every_steps: 100,
    },
    own: {
      standard: { l1_coefficient: 0.05, normalize_activations: "none" },
      gated: { target_l0: 4 },
      jumprelu: { target_l0: 4 },
      // The longer TopK learns here, the better it reconstructs and the worse it recovers: a fixed k hedges.
      topk: { k: 4, ...peersLr },
      batchtopk: { k: 4, ...peersLr },
      matryoshka_batchtopk: { k: 4, matryoshka_widths: [4, 16], ...peersLr },
    },
    l1Rise: null,
  },
  mini: {
    all: {
      d_sae: 256,
      train_batch_size_tokens: 1_024,
      training_tokens: 5_000_000,
      metrics_every_steps: 100,
    },
    own: {
      standard: { target_l0: 21 },
      gated: { target_l0: 12 },
      jumprelu: { target_l0: 12 },
      topk: { k: 12 },
      batchtopk: { k: 12, ...peersLr },
      matryoshka_batchtopk: {
        k: 12,
        matryoshka_widths: [32, 96, 256],
        use_matryoshka_aux_loss: true,
        ...peersLr,
      },
    },
    l1Rise: null,
  },
  "synthsaebench-16k": {
    all: {
      d_sae: 4_096,
      ...peersLr,
      train_batch_size_tokens: 1_024,
      training_tokens: 200_000_000,
      metrics_every_steps: 1_000,
    },
    own: {
      standard: { l1_coefficient: 2, target_l0: 25, normalize_activations: "none" },
      gated: { target_l0: 25 },
      jumprelu: {
        jumprelu_sparsity_loss_mode: "step",
        jumprelu_bandwidth: 1,
        jumprelu_init_threshold: 1,
        decoder_init_norm: 0.5,
        l0_coefficient: 1,
        l0_warm_up_steps: 0,
        pre_act_loss_coefficient: 0,
        target_l0: 25,
      },
      topk: { k: 25 },
      batchtopk: { k: 25 },
      matryoshka_batchtopk: {
        k: 25,
        matryoshka_widths: [128, 512, 2_048, 4_096],
        use_matryoshka_aux_loss: true,
      },
    },
    l1Rise: 1 / 3,
  },
};

/**
 * The training options that a preset has for an architecture; what it does not name is as the architecture has it.
 * `training_tokens` shortens or lengthens the run, and with it what is a share of it.
 */
export function presetTraining(
  name: PresetName,
  architecture: BaseArchitecture,
  training_tokens = recipes[name].all.training_tokens,
): TrainingConfigInput {
  const { all, own, l1Rise } = recipes[name];
  const steps = Math.floor(training_tokens / all.train_batch_size_tokens);
  return {
    architecture,
    d_in: syntheticGenerators[name].d_in,
    ...all,
    ...own[architecture],
    training_tokens,
    ...(architecture === "standard" && l1Rise !== null
      ? { l1_warm_up_steps: Math.floor(l1Rise * steps) }
      : {}),
  };
}
