import { baseOf, isTranscoder, widthsOf } from "./architecture.ts";
import {
  architectureDefaults,
  type OptionName,
  type TrainingConfig,
  totalSteps,
  trainingConfigOptions,
} from "./config.ts";

/** One contradiction between options, in a full sentence, at the option to change. */
export interface ConfigFault {
  path: OptionName;
  message: string;
}

type Applies = (config: TrainingConfig) => boolean;
const fixedCount: Applies = (c) => ["topk", "batchtopk", "matryoshka_batchtopk"].includes(baseOf(c));
const batchSelected: Applies = (c) => ["batchtopk", "matryoshka_batchtopk"].includes(baseOf(c));
const matryoshka: Applies = (c) => baseOf(c) === "matryoshka_batchtopk";
const l1: Applies = (c) => ["standard", "gated"].includes(baseOf(c));
const jump: Applies = (c) => baseOf(c) === "jumprelu";
const auxK: Applies = (c) => fixedCount(c) && c.aux_loss_coefficient > 0;

/** Options that mean something only under others. */
const applicability: Partial<Record<OptionName, Applies>> = {
  base_architecture: (c) => isTranscoder(c.architecture) || c.architecture === "crosscoder",
  d_out: (c) => isTranscoder(c.architecture),
  n_hook_points: (c) => c.architecture === "crosscoder",
  decoder_init_norm: (c) => c.decoder_norm === "free",
  k: fixedCount,
  k_anneal_from: fixedCount,
  k_anneal_steps: (c) => fixedCount(c) && c.k_anneal_from !== null,
  multi_topk: (c) => baseOf(c) === "topk",
  topk_threshold_lr: batchSelected,
  rescale_acts_by_decoder_norm: (c) =>
    fixedCount(c) && c.decoder_norm === "free" && !(c.architecture === "crosscoder" && baseOf(c) === "topk"),
  matryoshka_widths: matryoshka,
  use_matryoshka_aux_loss: (c) => matryoshka(c) && auxK(c),
  l1_coefficient: l1,
  l1_warm_up_steps: l1,
  lp_norm: (c) => baseOf(c) === "standard",
  l0_coefficient: jump,
  l0_warm_up_steps: jump,
  jumprelu_sparsity_loss_mode: jump,
  jumprelu_init_threshold: jump,
  jumprelu_bandwidth: jump,
  jumprelu_tanh_scale: (c) => jump(c) && c.jumprelu_sparsity_loss_mode === "tanh",
  pre_act_loss_coefficient: jump,
  target_l0: (c) => l1(c) || jump(c),
  target_l0_gain: (c) =>
    (l1(c) || (jump(c) && c.jumprelu_sparsity_loss_mode !== "quadratic")) && c.target_l0 !== null,
  scale_lr_with_width: (c) => c.lr !== null,
  lr_end: (c) => c.lr_scheduler_name !== "constant",
  n_restart_cycles: (c) => c.lr_scheduler_name === "cosineannealingwarmrestarts",
  aux_loss_coefficient: fixedCount,
  k_aux: auxK,
  resample_every_steps: (c) => c.resample,
  resample_times: (c) => c.resample,
  resample_tokens: (c) => c.resample,
};

/** Whether an option has any effect beside the others; forms hide those that have none. */
export function optionApplies(name: OptionName, config: TrainingConfig): boolean {
  return applicability[name]?.(config) ?? true;
}

/** What no single option's bounds can say. Empty when the configuration is consistent. */
export function configFaults(config: TrainingConfig): ConfigFault[] {
  const faults: ConfigFault[] = [];
  const fault = (path: OptionName, message: string) => faults.push({ path, message });
  const run = totalSteps(config);
  const base = baseOf(config);
  const named = base === config.architecture ? base : `${config.architecture} over ${base}`;

  const standing = trainingConfigOptions.parse({
    ...architectureDefaults(config),
    architecture: config.architecture,
    d_in: config.d_in,
    d_sae: config.d_sae,
  });
  for (const name of Object.keys(applicability) as OptionName[]) {
    if (optionApplies(name, config) || same(config[name], standing[name])) continue;
    if (same(config[name], trainingConfigOptions.shape[name].safeParse(undefined).data)) continue;
    fault(
      name,
      `${name} is ${JSON.stringify(config[name])}, but it has no effect here (${named}); leave it out.`,
    );
  }
  if (fixedCount(config)) {
    if (config.k > config.d_sae) {
      fault("k", `k is ${config.k}, but the dictionary has only ${config.d_sae} features.`);
    }
    if (base === "topk" && !Number.isInteger(config.k)) {
      fault(
        "k",
        `k is ${config.k}, but TopK keeps a whole number of features; batchtopk can keep ${config.k} on average.`,
      );
    }
    if (config.k_anneal_from !== null && config.k_anneal_from < config.k) {
      fault(
        "k_anneal_from",
        `k_anneal_from is ${config.k_anneal_from}, below k (${config.k}); k is annealed downwards.`,
      );
    }
    if (config.k_anneal_from !== null && config.k_anneal_from > config.d_sae) {
      fault(
        "k_anneal_from",
        `k_anneal_from is ${config.k_anneal_from}, but the dictionary has only ${config.d_sae} features.`,
      );
    }
  }
  if (fixedCount(config) && config.k_anneal_from !== null && config.k_anneal_steps === 0) {
    fault(
      "k_anneal_steps",
      "k_anneal_from is given, but k_anneal_steps is 0: say over how many steps k falls.",
    );
  }
  if (matryoshka(config) && config.matryoshka_widths !== null) {
    const widths = config.matryoshka_widths;
    if (widths.some((width, i) => i > 0 && width <= widths[i - 1]!) || widths.at(-1) !== config.d_sae) {
      fault(
        "matryoshka_widths",
        `The widths ${widths.join(", ")} must rise and end with d_sae (${config.d_sae}).`,
      );
    }
  }
  if (isTranscoder(config.architecture) && config.apply_b_dec_to_input) {
    fault(
      "apply_b_dec_to_input",
      "A transcoder's b_dec belongs to its target and cannot be subtracted from its input; set apply_b_dec_to_input to false.",
    );
  }
  if (config.architecture === "crosscoder" && config.n_hook_points < 2) {
    fault(
      "n_hook_points",
      "A crosscoder reads at least two hook points; set n_hook_points, or take the architecture of one.",
    );
  }
  const { input, output } = widthsOf(config);
  if (Math.max(input, output) > 65_536) {
    fault(
      "n_hook_points",
      `${config.n_hook_points} hook points of width ${config.d_in} make rows of ${input}; 65,536 is the most.`,
    );
  }
  if (jump(config) && config.jumprelu_sparsity_loss_mode === "quadratic" && config.target_l0 === null) {
    fault("target_l0", "The quadratic penalty is a distance from target_l0, which is not given.");
  }
  const perToken = ["constant_norm_rescale", "layer_norm"].includes(config.normalize_activations);
  if (perToken && (isTranscoder(config.architecture) || config.architecture === "crosscoder")) {
    fault(
      "normalize_activations",
      `${config.normalize_activations} normalises one hook point by itself; for a ${config.architecture} take expected_average_only_in.`,
    );
  }
  if (perToken && config.center_activations) {
    fault(
      "center_activations",
      "A mean taken before a per-token normalisation cannot be folded into the weights; set center_activations to false.",
    );
  }
  if (config.target_l0 !== null && config.target_l0 > config.d_sae) {
    fault(
      "target_l0",
      `target_l0 is ${config.target_l0}, but the dictionary has only ${config.d_sae} features.`,
    );
  }
  if (config.training_tokens < config.train_batch_size_tokens) {
    fault(
      "training_tokens",
      `${config.training_tokens} training tokens do not fill one batch of ${config.train_batch_size_tokens}.`,
    );
  }
  const warmUp = config.lr_warm_up_steps ?? 0;
  const decay = config.lr_decay_steps ?? 0;
  if (warmUp + decay > run) {
    fault(
      "lr_warm_up_steps",
      `Warm-up (${warmUp}) and decay (${decay}) together exceed the run's ${run} steps.`,
    );
  }
  for (const name of ["l1_warm_up_steps", "l0_warm_up_steps", "k_anneal_steps"] as const) {
    const length = config[name];
    if (optionApplies(name, config) && length !== null && length > run) {
      fault(name, `${name} is ${length}, longer than the run's ${run} steps.`);
    }
  }
  return faults;
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
