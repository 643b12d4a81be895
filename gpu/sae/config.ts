import { z } from "zod";

/**
 * What a reader of the form, the command line or the docs is told about one option.
 * `group` orders the form; `source` names where the option or its default comes from.
 */
export interface OptionMeta {
  label: string;
  help: string;
  group: "Dictionary" | "Optimizer" | "Data" | "Dead features" | "Logging";
  unit?: string;
  source?: string;
}

const count = (max: number) => z.number().int().min(1).max(max);

/** A described option: bounds live in the zod type, words in its metadata. */
function option<T extends z.ZodType>(type: T, meta: OptionMeta): T {
  return type.meta({ ...meta });
}

/**
 * One SAE's training configuration: SAELens' option names and meanings wherever it has the option.
 * It is flat, strict (an unknown key is an error) and complete after parsing (every default filled in).
 */
export const trainingConfigSchema = z.strictObject({
  architecture: option(z.enum(["topk"]).default("topk"), {
    label: "Architecture",
    help: "TopK keeps the k largest pre-activations of each token and sets the rest to zero.",
    group: "Dictionary",
    source: "Gao et al. 2024, arXiv 2406.04093, eq. 3",
  }),
  d_in: option(count(65_536), {
    label: "d_in",
    help: "Width of the activations. Given by the source.",
    group: "Dictionary",
  }),
  d_sae: option(count(1_048_576), {
    label: "d_sae",
    help: "Number of features in the dictionary; 4 to 32 times d_in is usual.",
    group: "Dictionary",
    unit: "features",
  }),
  k: option(count(4_096), {
    label: "k",
    help: "Features kept per token. L0 is at most k: a kept pre-activation below zero counts as not firing.",
    group: "Dictionary",
    unit: "features",
    source: "arXiv 2406.04093, section 2.3",
  }),
  apply_b_dec_to_input: option(z.boolean().default(true), {
    label: "Subtract b_dec from the input",
    help: "Encode x − b_dec instead of x.",
    group: "Dictionary",
    source: "SAELens",
  }),
  decoder_norm: option(z.enum(["free", "unit"]).default("unit"), {
    label: "Decoder norm",
    help: "unit: each decoder row keeps norm 1; the gradient's part along the row is removed before Adam.",
    group: "Dictionary",
    source: "arXiv 2406.04093, appendix A.1",
  }),
  decoder_init_norm: option(z.number().positive().max(100).default(0.1), {
    label: "Initial decoder norm",
    help: "Norm of each decoder row at the start when the decoder norm is free; W_enc starts as its transpose.",
    group: "Dictionary",
    source: "SAELens decoder_init_norm",
  }),
  b_dec_init_method: option(z.enum(["zeros", "mean", "geometric_median"]).default("geometric_median"), {
    label: "Initial b_dec",
    help: "Start the decoder bias from a statistic of the first activations, so that features need not learn it.",
    group: "Dictionary",
    source: "arXiv 2406.04093, appendix A.1",
  }),

  lr: option(z.number().positive().max(1).default(3e-4), {
    label: "Learning rate",
    help: "Adam's step size after warm-up.",
    group: "Optimizer",
    source: "SAELens lr",
  }),
  lr_warm_up_steps: option(z.number().int().min(0).max(10_000_000).default(0), {
    label: "Warm-up steps",
    help: "Steps over which the learning rate rises linearly from lr / steps to lr.",
    group: "Optimizer",
    unit: "steps",
  }),
  lr_decay_steps: option(z.number().int().min(0).max(10_000_000).default(0), {
    label: "Decay steps",
    help: "Last steps over which the learning rate falls linearly to zero.",
    group: "Optimizer",
    unit: "steps",
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
    z.enum(["none", "expected_average_only_in"]).default("expected_average_only_in"),
    {
      label: "Normalise activations",
      help: "expected_average_only_in scales every input by √d_in / mean‖x‖; the factor is folded into the weights at export.",
      group: "Data",
      source: "SAELens normalize_activations",
    },
  ),
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
  dead_feature_window_tokens: option(z.number().int().min(1).max(4_000_000_000).default(1_000_000), {
    label: "Dead after",
    help: "A feature is dead when more than this many tokens have passed since it last fired.",
    group: "Dead features",
    unit: "tokens",
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

export type TrainingConfig = z.output<typeof trainingConfigSchema>;
export type TrainingConfigInput = z.input<typeof trainingConfigSchema>;

/** One contradiction between options, in a full sentence, at the option to change. */
export interface ConfigFault {
  path: keyof TrainingConfig;
  message: string;
}

/** Steps a run takes: whole batches only, at least one. */
export function totalSteps(config: TrainingConfig): number {
  return Math.max(1, Math.floor(config.training_tokens / config.train_batch_size_tokens));
}

/** What no single option's bounds can say. Empty when the configuration is consistent. */
export function configFaults(config: TrainingConfig): ConfigFault[] {
  const faults: ConfigFault[] = [];
  const steps = totalSteps(config);
  if (config.k > config.d_sae) {
    faults.push({
      path: "k",
      message: `k is ${config.k}, but the dictionary has only ${config.d_sae} features.`,
    });
  }
  if (config.training_tokens < config.train_batch_size_tokens) {
    faults.push({
      path: "training_tokens",
      message: `${config.training_tokens} training tokens do not fill one batch of ${config.train_batch_size_tokens}.`,
    });
  }
  if (config.lr_warm_up_steps + config.lr_decay_steps > steps) {
    faults.push({
      path: "lr_warm_up_steps",
      message: `Warm-up (${config.lr_warm_up_steps}) and decay (${config.lr_decay_steps}) together exceed the run's ${steps} steps.`,
    });
  }
  return faults;
}
