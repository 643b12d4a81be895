import { z } from "zod";
import {
  type Architecture,
  type ArchitectureDescription,
  architectures,
  baseArchitectures,
  baseOf,
} from "./architecture.ts";
import { batchtopk } from "./batchtopk.ts";
import { crosscoder } from "./crosscoder.ts";
import { gated } from "./gated.ts";
import { jumprelu } from "./jumprelu.ts";
import { matryoshkaBatchtopk } from "./matryoshka-batchtopk.ts";
import { skipTranscoder } from "./skip-transcoder.ts";
import { standard } from "./standard.ts";
import { topk } from "./topk.ts";
import { transcoder } from "./transcoder.ts";

/**
 * What a reader of the form, the command line or the docs is told about one option.
 * `group` orders the form; `source` names where the option or its default comes from.
 */
export interface OptionMeta {
  label: string;
  help: string;
  group: "Dictionary" | "Sparsity" | "Optimizer" | "Data" | "Dead features" | "Logging";
  unit?: string;
  source?: string;
}

/** Every architecture's own words and defaults. */
export const architectureDescriptions: Record<Architecture, ArchitectureDescription> = {
  standard,
  gated,
  jumprelu,
  topk,
  batchtopk,
  matryoshka_batchtopk: matryoshkaBatchtopk,
  transcoder,
  skip_transcoder: skipTranscoder,
  crosscoder,
};

const count = (max: number) => z.number().int().min(1).max(max);
const steps = () => z.number().int().min(0).max(1_000_000_000);

/** A described option: bounds live in the zod type, words in its metadata. */
function option<T extends z.ZodType>(type: T, meta: OptionMeta): T {
  return type.meta({ ...meta });
}

/**
 * One SAE's training configuration: SAELens' option names and meanings wherever it has the option.
 * Flat and strict (an unknown key is an error). These are the options with defaults that hold for every architecture;
 * `trainingConfigSchema` puts each architecture's own defaults before them.
 */
export const trainingConfigOptions = z.strictObject({
  architecture: option(z.enum(architectures).default("topk"), {
    label: "Architecture",
    help: "How features are kept few: a penalty (standard, gated, jumprelu), a fixed number (topk, batchtopk, matryoshka_batchtopk); transcoders predict another hook point, crosscoders several.",
    group: "Dictionary",
    source: "SAELens architecture",
  }),
  base_architecture: option(z.enum(baseArchitectures).default("topk"), {
    label: "Activation",
    help: "The activation and losses of a transcoder or crosscoder.",
    group: "Dictionary",
  }),
  d_in: option(count(65_536), {
    label: "d_in",
    help: "Width of the activations, of each hook point for a crosscoder. Given by the source.",
    group: "Dictionary",
  }),
  d_out: option(count(65_536).nullable().default(null), {
    label: "d_out",
    help: "Width of a transcoder's target; empty means d_in.",
    group: "Dictionary",
    source: "SAELens d_out",
  }),
  n_hook_points: option(count(64).default(1), {
    label: "Hook points",
    help: "Hook points that a crosscoder reads and reconstructs together.",
    group: "Dictionary",
    source: "Anthropic, Sparse Crosscoders, October 2024",
  }),
  d_sae: option(count(1_048_576), {
    label: "d_sae",
    help: "Number of features in the dictionary; 4 to 32 times d_in is usual.",
    group: "Dictionary",
    unit: "features",
  }),
  apply_b_dec_to_input: option(z.boolean().default(true), {
    label: "Subtract b_dec from the input",
    help: "Encode x − b_dec instead of x. Transcoders cannot: their b_dec belongs to the target.",
    group: "Dictionary",
    source: "SAELens apply_b_dec_to_input",
  }),
  decoder_norm: option(z.enum(["free", "unit"]).default("unit"), {
    label: "Decoder norm",
    help: "unit: each decoder row keeps norm 1; the gradient's part along the row is removed before Adam.",
    group: "Dictionary",
    source: "arXiv 2406.04093, appendix A.1",
  }),
  decoder_init_norm: option(z.number().positive().max(100).default(0.1), {
    label: "Initial decoder norm",
    help: "Norm of each decoder row at the start when the decoder norm is free.",
    group: "Dictionary",
    source: "SAELens decoder_init_norm",
  }),
  init_encoder_as_decoder_transpose: option(z.boolean().default(true), {
    label: "Tied initialisation",
    help: "W_enc starts as the transpose of W_dec; otherwise in directions of its own, of the same norm.",
    group: "Dictionary",
    source: "SAELens init_encoder_as_decoder_transpose",
  }),
  b_dec_init_method: option(z.enum(["zeros", "mean", "geometric_median"]).default("geometric_median"), {
    label: "Initial b_dec",
    help: "Start the decoder bias from a statistic of the first activations, so that features need not learn it.",
    group: "Dictionary",
    source: "arXiv 2406.04093, appendix A.1",
  }),
  precision: option(z.enum(["f32", "f16"]).default("f32"), {
    label: "Precision",
    help: "f16: inputs and weights enter every product as 16-bit numbers, sums and the weights that Adam keeps stay 32-bit.",
    group: "Dictionary",
  }),

  k: option(z.number().positive().max(4_096).default(32), {
    label: "k",
    help: "Features kept per token (batchtopk: on average). L0 is at most k: a kept pre-activation below zero counts as not firing.",
    group: "Sparsity",
    unit: "features",
    source: "arXiv 2406.04093, section 2.3; SAELens k",
  }),
  k_anneal_from: option(z.number().positive().max(4_096).nullable().default(null), {
    label: "Anneal k from",
    help: "k falls linearly from this to its value; empty: k is constant.",
    group: "Sparsity",
    unit: "features",
    source: "dictionary_learning k_anneal",
  }),
  k_anneal_steps: option(steps().default(0), {
    label: "Anneal k over",
    help: "Steps over which k falls from its first value.",
    group: "Sparsity",
    unit: "steps",
  }),
  multi_topk: option(z.boolean().default(false), {
    label: "Multi-TopK",
    help: "Adds an eighth of the loss with 4k features, so that the SAE also works with more of them.",
    group: "Sparsity",
    source: "arXiv 2406.04093, section 5.4; sparsify multi_topk",
  }),
  topk_threshold_lr: option(z.number().positive().max(1).default(0.01), {
    label: "Threshold rate",
    help: "Rate at which the inference threshold follows the smallest activation kept in a batch.",
    group: "Sparsity",
    source: "SAELens topk_threshold_lr",
  }),
  rescale_acts_by_decoder_norm: option(z.boolean().default(true), {
    label: "Select by decoder norm",
    help: "With a free decoder, features are ranked by activation times decoder norm.",
    group: "Sparsity",
    source: "SAELens rescale_acts_by_decoder_norm",
  }),
  matryoshka_widths: option(z.array(count(1_048_576)).max(16).nullable().default(null), {
    label: "Matryoshka widths",
    help: "Sizes of the nested dictionaries, rising, the last d_sae; empty: a sixteenth, an eighth, a quarter, a half and all of d_sae.",
    group: "Sparsity",
    unit: "features",
    source: "SAELens matryoshka_widths; arXiv 2503.17547",
  }),
  use_matryoshka_aux_loss: option(z.boolean().default(false), {
    label: "AuxK at every level",
    help: "Each nested dictionary revives its own dead features against its own residual.",
    group: "Sparsity",
    source: "SAELens use_matryoshka_aux_loss",
  }),
  l1_coefficient: option(z.number().min(0).max(1e6).nullable().default(null), {
    label: "L1 coefficient",
    help: "Weight λ of the penalty λ Σ f_i ‖W_dec,i‖ (gated: of the gate's activations); empty: 5, or 1 to start from with a target L0.",
    group: "Sparsity",
    source: "SAELens l1_coefficient; Anthropic, April 2024",
  }),
  l1_warm_up_steps: option(steps().nullable().default(null), {
    label: "L1 warm-up",
    help: "Steps over which the L1 coefficient rises linearly from zero; empty: the first 5 % of the run.",
    group: "Sparsity",
    unit: "steps",
    source: "SAELens l1_warm_up_steps",
  }),
  lp_norm: option(z.number().min(1).max(8).default(1), {
    label: "Penalty norm",
    help: "p of the penalty ‖f · ‖W_dec‖‖_p per token.",
    group: "Sparsity",
    source: "SAELens lp_norm",
  }),
  l0_coefficient: option(z.number().min(0).max(1e6).default(1), {
    label: "L0 coefficient",
    help: "Weight of JumpReLU's sparsity penalty.",
    group: "Sparsity",
    source: "SAELens l0_coefficient",
  }),
  l0_warm_up_steps: option(steps().nullable().default(null), {
    label: "L0 warm-up",
    help: "Steps over which the L0 coefficient rises linearly from zero; empty: the first 5 % of the run; with tanh and no target L0 the whole run.",
    group: "Sparsity",
    unit: "steps",
    source: "SAELens l0_warm_up_steps",
  }),
  jumprelu_sparsity_loss_mode: option(z.enum(["step", "quadratic", "tanh"]).default("tanh"), {
    label: "JumpReLU penalty",
    help: "step: the L0 itself; quadratic: (L0 / target_l0 − 1)²; tanh: Σ tanh(c f_i ‖W_dec,i‖).",
    group: "Sparsity",
    source: "SAELens jumprelu_sparsity_loss_mode; arXiv 2407.14435; Anthropic, January 2025",
  }),
  jumprelu_init_threshold: option(z.number().min(0).max(1_000).default(0.1), {
    label: "Initial threshold",
    help: "Threshold θ of every feature at the start.",
    group: "Sparsity",
    source: "SAELens jumprelu_init_threshold",
  }),
  jumprelu_bandwidth: option(z.number().positive().max(1_000).default(2), {
    label: "Bandwidth",
    help: "Width ε of the window around θ in which the threshold's gradient is estimated.",
    group: "Sparsity",
    source: "SAELens jumprelu_bandwidth; Anthropic, Circuits Updates, January 2025 (2, on inputs of norm √d)",
  }),
  jumprelu_tanh_scale: option(z.number().positive().max(1_000).default(1), {
    label: "tanh scale",
    help: "c in tanh(c f_i ‖W_dec,i‖). Where c f_i ‖W_dec,i‖ is well above 1 the penalty is flat and pulls no more; the larger c, the sooner. Anthropic's is 4.",
    group: "Sparsity",
    source: "SAELens jumprelu_tanh_scale; Anthropic, January 2025 (4)",
  }),
  pre_act_loss_coefficient: option(z.number().min(0).max(1_000).default(0), {
    label: "Pre-activation loss",
    help: "Weight of Σ ReLU(θ_i − z_i) ‖W_dec,i‖ over dead features, which pulls them back to where they fire; 0 turns it off.",
    group: "Sparsity",
    source: "SAELens pre_act_loss_coefficient; Anthropic, January 2025",
  }),
  target_l0: option(z.number().positive().max(1_048_576).nullable().default(null), {
    label: "Target L0",
    help: "The penalty's coefficient is steered until this many features fire per token, so that none has to be searched; empty: the coefficient is taken as it is.",
    group: "Sparsity",
    unit: "features",
  }),
  target_l0_gain: option(z.number().positive().max(1).nullable().default(null), {
    label: "Target gain",
    help: "How far the logarithm of the coefficient moves per step when L0 is far from its target; empty: 5 over the run, 3·10⁻⁴ at least.",
    group: "Sparsity",
    source: "arXiv 2602.14687",
  }),

  lr: option(z.number().positive().max(1).nullable().default(null), {
    label: "Learning rate",
    help: "Adam's step size after warm-up; empty: 2·10⁻⁴ · √(16,384 / d_sae), 10⁻³ at most.",
    group: "Optimizer",
    source: "SAELens lr; dictionary_learning (the law)",
  }),
  scale_lr_with_width: option(z.boolean().default(false), {
    label: "Scale with width",
    help: "Multiplies a given learning rate by √(16,384 / d_sae).",
    group: "Optimizer",
    source: "dictionary_learning; arXiv 2406.04093, section 3",
  }),
  lr_scheduler_name: option(
    z.enum(["constant", "cosineannealing", "cosineannealingwarmrestarts"]).default("constant"),
    {
      label: "Schedule",
      help: "Between warm-up and decay: constant, or a cosine from lr to lr_end, once or in cycles.",
      group: "Optimizer",
      source: "SAELens lr_scheduler_name",
    },
  ),
  lr_end: option(z.number().min(0).max(1).nullable().default(null), {
    label: "Final learning rate",
    help: "Where a cosine ends; empty: a tenth of lr.",
    group: "Optimizer",
    source: "SAELens lr_end",
  }),
  n_restart_cycles: option(count(1_000).default(1), {
    label: "Cycles",
    help: "Cosines one after another, with warm restarts.",
    group: "Optimizer",
    source: "SAELens n_restart_cycles",
  }),
  lr_warm_up_steps: option(steps().nullable().default(null), {
    label: "Warm-up steps",
    help: "Steps over which the learning rate rises linearly from lr / steps to lr; empty: 5 % of the run, 1,000 at most.",
    group: "Optimizer",
    unit: "steps",
    source: "SAELens lr_warm_up_steps",
  }),
  lr_decay_steps: option(steps().nullable().default(null), {
    label: "Decay steps",
    help: "Last steps over which the learning rate falls linearly to zero; empty: the last 20 % of the run.",
    group: "Optimizer",
    unit: "steps",
    source: "SAELens lr_decay_steps",
  }),
  adam_beta1: option(z.number().min(0).max(0.99999).default(0.9), {
    label: "Adam β₁",
    help: "Decay of the running mean of the gradient.",
    group: "Optimizer",
    source: "SAELens adam_beta1; torch.optim.Adam",
  }),
  adam_beta2: option(z.number().min(0).max(0.999999).default(0.999), {
    label: "Adam β₂",
    help: "Decay of the running mean of the squared gradient.",
    group: "Optimizer",
    source: "SAELens adam_beta2; torch.optim.Adam",
  }),
  adam_epsilon: option(z.number().positive().max(1).default(1e-8), {
    label: "Adam ε",
    help: "Added to the root of the second moment, after bias correction.",
    group: "Optimizer",
    source: "torch.optim.Adam",
  }),
  grad_clip_norm: option(z.number().positive().max(1e6).nullable().default(1), {
    label: "Gradient clip norm",
    help: "The gradient of all parameters together is scaled down to this norm; empty means never.",
    group: "Optimizer",
    source: "SAELens (1.0, fixed)",
  }),
  ema_decay: option(z.number().gt(0).lt(1).nullable().default(null), {
    label: "Weight averaging",
    help: "Decay of a running mean of the weights, which is then evaluated and exported instead of them; empty: none.",
    group: "Optimizer",
    source: "openai/sparse_autoencoder ema_multiplier",
  }),

  training_tokens: option(z.number().int().min(1).max(1e12).default(1_000_000), {
    label: "Training tokens",
    help: "Activation vectors seen in all. A set on disk is shuffled anew each time it has been seen once.",
    group: "Data",
    unit: "tokens",
    source: "SAELens training_tokens",
  }),
  train_batch_size_tokens: option(count(1_048_576).default(4_096), {
    label: "Batch size",
    help: "Activation vectors per step.",
    group: "Data",
    unit: "tokens",
    source: "SAELens train_batch_size_tokens",
  }),
  normalize_activations: option(
    z
      .enum(["none", "expected_average_only_in", "constant_norm_rescale", "layer_norm"])
      .default("expected_average_only_in"),
    {
      label: "Normalise activations",
      help: "expected_average_only_in scales every input by √d_in / mean‖x‖, folded into the weights at export. Per token: constant_norm_rescale gives each the norm √d_in, layer_norm also takes its mean away; these stay part of the SAE.",
      group: "Data",
      source: "SAELens normalize_activations",
    },
  ),
  center_activations: option(z.boolean().default(false), {
    label: "Centre activations",
    help: "Subtracts the mean activation before everything else; folded into the biases at export.",
    group: "Data",
    source: "arXiv 2605.31518",
  }),
  n_batches_for_norm_estimate: option(count(1_000).default(16), {
    label: "Batches for estimates",
    help: "Batches read before training to estimate the mean norm and the initial b_dec.",
    group: "Data",
    unit: "batches",
    source: "SAELens n_batches_for_norm_estimate",
  }),
  seed: option(z.number().int().min(0).max(4_294_967_295).default(42), {
    label: "Seed",
    help: "The same seed on the same adapter gives the same weights, bit for bit.",
    group: "Data",
  }),

  aux_loss_coefficient: option(z.number().min(0).max(1_000).default(1), {
    label: "AuxK coefficient",
    help: "Weight of the loss by which dead features are taught to explain the residual; 0 turns it off.",
    group: "Dead features",
    source: "SAELens aux_loss_coefficient; arXiv 2406.04093, appendix A.2",
  }),
  k_aux: option(count(65_536).nullable().default(null), {
    label: "k_aux",
    help: "Dead features that explain a token's residual together; empty: half the width that is reconstructed, 512 at most.",
    group: "Dead features",
    unit: "features",
    source: "arXiv 2406.04093, appendix A.2",
  }),
  dead_feature_window_tokens: option(z.number().int().min(1).max(4_000_000_000).nullable().default(null), {
    label: "Dead after",
    help: "A feature is dead when more than this many tokens have passed since it last fired; empty: 5 % of the training tokens, 10 million at most.",
    group: "Dead features",
    unit: "tokens",
  }),
  resample: option(z.boolean().default(false), {
    label: "Resample",
    help: "At intervals, dead features start anew in the direction of badly explained tokens.",
    group: "Dead features",
    source: "Anthropic, Towards Monosemanticity, 2023",
  }),
  resample_every_steps: option(count(1_000_000_000).default(25_000), {
    label: "Resample every",
    help: "Steps between two resamplings; a feature that has not fired for half as long is resampled.",
    group: "Dead features",
    unit: "steps",
    source: "Anthropic, Towards Monosemanticity, 2023",
  }),
  resample_times: option(count(1_000).default(4), {
    label: "Resamplings",
    help: "How often features are resampled in all.",
    group: "Dead features",
    source: "Anthropic, Towards Monosemanticity, 2023",
  }),
  resample_tokens: option(count(100_000_000).default(819_200), {
    label: "Resample from",
    help: "Tokens whose losses are computed, to draw new directions in proportion to their squares.",
    group: "Dead features",
    unit: "tokens",
    source: "Anthropic, Towards Monosemanticity, 2023",
  }),

  metrics_every_steps: option(count(1_000_000).default(10), {
    label: "Metrics every",
    help: "Steps between two rows of metrics.",
    group: "Logging",
    unit: "steps",
  }),
  checkpoint_every_steps: option(z.number().int().min(0).max(100_000_000).default(1_000), {
    label: "Checkpoint every",
    help: "Steps between two checkpoints; 0 keeps only the last.",
    group: "Logging",
    unit: "steps",
  }),
});

export type TrainingConfig = z.output<typeof trainingConfigOptions>;
export type TrainingConfigInput = z.input<typeof trainingConfigOptions>;
export type OptionName = keyof TrainingConfig;

/** An architecture's own defaults; those of its base first, for a transcoder or crosscoder. */
export function architectureDefaults(
  input: Pick<TrainingConfigInput, "architecture" | "base_architecture">,
): Partial<TrainingConfigInput> {
  const architecture = architectures.find((one) => one === input.architecture) ?? "topk";
  const own = architectureDescriptions[architecture].defaults;
  const wanted = input.base_architecture ?? own.base_architecture ?? "topk";
  const base = baseArchitectures.find((one) => one === wanted) ?? "topk";
  return {
    ...architectureDescriptions[baseOf({ architecture, base_architecture: base })].defaults,
    ...own,
  };
}

/** A whole configuration: what is given, over the architecture's defaults, over the options' own. */
export const trainingConfigSchema = z.preprocess((input: TrainingConfigInput) => {
  if (typeof input !== "object" || input === null || Array.isArray(input)) return input;
  const given = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined));
  return { ...architectureDefaults(input), ...given };
}, trainingConfigOptions);

/** Steps a run takes: whole batches only, at least one. */
export function totalSteps(
  config: Pick<TrainingConfig, "training_tokens" | "train_batch_size_tokens">,
): number {
  return Math.max(1, Math.floor(config.training_tokens / config.train_batch_size_tokens));
}
