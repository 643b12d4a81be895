import { baseOf, widthsOf } from "./architecture.ts";
import { type TrainingConfig, totalSteps } from "./config.ts";

/** Steps of the learning rate's warm-up: as given, or 5 % of the run, 1,000 at most, and no more than a decay leaves. */
export function lrWarmUpSteps(config: TrainingConfig): number {
  const steps = totalSteps(config);
  const left = steps - (config.lr_decay_steps ?? 0);
  return config.lr_warm_up_steps ?? Math.min(1_000, Math.floor(0.05 * steps), left);
}

/** Steps of the final decay: as given, or the last 20 % of the run, less where a given warm-up takes more than the rest. */
export function lrDecaySteps(config: TrainingConfig): number {
  const steps = totalSteps(config);
  return config.lr_decay_steps ?? Math.min(Math.floor(0.2 * steps), steps - (config.lr_warm_up_steps ?? 0));
}

/**
 * Learning rate of a step (from 0). With W warm-up and D decay steps of T in all, as SAELens' schedules:
 *   peak · min(1, (step + 1) / W) · min(1, (T − step) / D)
 * so the first step takes peak / W, the first decaying step still the whole peak, and step T would take zero. The peak
 * is lr, √(16,384 / d_sae) times that with scale_lr_with_width; a cosine leads it from lr to lr_end between warm-up and
 * decay, in n_restart_cycles equal parts with warm restarts. See `peakLearningRate` for an lr that is not given.
 */
export function learningRate(config: TrainingConfig, step: number): number {
  const steps = totalSteps(config);
  const warmUp = lrWarmUpSteps(config);
  const decay = lrDecaySteps(config);
  const rise = warmUp === 0 ? 1 : Math.min(1, (step + 1) / warmUp);
  const fall = decay === 0 ? 1 : Math.min(1, Math.max(0, steps - step) / decay);
  const width = config.scale_lr_with_width ? Math.sqrt(16_384 / config.d_sae) : 1;
  return width * peak(config, step - warmUp, Math.max(1, steps - warmUp - decay)) * rise * fall;
}

/**
 * lr as given, or 2·10⁻⁴ · √(16,384 / d_sae), 10⁻³ at most. The law is dictionary_learning's for TopK, after arXiv
 * 2406.04093, section 3; docs/recovery.md has what comes of it.
 */
export function peakLearningRate({ lr, d_sae }: Pick<TrainingConfig, "lr" | "d_sae">): number {
  return lr ?? Math.min(1e-3, 2e-4 * Math.sqrt(16_384 / d_sae));
}

function peak(config: TrainingConfig, step: number, length: number): number {
  const { lr_scheduler_name } = config;
  const lr = peakLearningRate(config);
  if (lr_scheduler_name === "constant") return lr;
  const end = config.lr_end ?? lr / 10;
  const cycles = lr_scheduler_name === "cosineannealing" ? 1 : config.n_restart_cycles;
  const at = Math.min(Math.max(0, step), length);
  const place = at === length ? 1 : ((at * cycles) / length) % 1;
  return end + ((lr - end) * (1 + Math.cos(Math.PI * place))) / 2;
}

/**
 * Coefficient of the sparsity penalty at a step (from 0), rising linearly over its warm-up of W steps:
 * λ · min(1, step / W), zero at the first step (SAELens). What steers towards target_l0 multiplies it.
 */
export function sparsityCoefficient(config: TrainingConfig, step: number): number {
  switch (baseOf(config)) {
    case "standard":
    case "gated":
      return l1Coefficient(config) * warmedUp(config.l1_warm_up_steps ?? twentieth(config), step);
    case "jumprelu":
      return config.l0_coefficient * warmedUp(l0WarmUpSteps(config), step);
    default:
      return 0;
  }
}

/**
 * λ as given, or Anthropic's 5 (Circuits Updates, April 2024), or 1 where steering towards target_l0 starts from it:
 * features that too strong a penalty has silenced do not come back.
 */
export function l1Coefficient({
  l1_coefficient,
  target_l0,
}: Pick<TrainingConfig, "l1_coefficient" | "target_l0">): number {
  return l1_coefficient ?? (target_l0 === null ? 5 : 1);
}

/** As given, or 5 % of the run; the whole run for a tanh penalty that is not steered (Anthropic, January 2025). */
export function l0WarmUpSteps(config: TrainingConfig): number {
  const { l0_warm_up_steps, jumprelu_sparsity_loss_mode: mode, target_l0 } = config;
  return l0_warm_up_steps ?? (mode === "tanh" && target_l0 === null ? totalSteps(config) : twentieth(config));
}

/**
 * How far the logarithm of the coefficient moves a step when L0 is far from its target: as given, or 5 over a run, and
 * no less than arXiv 2602.14687 has in its long ones.
 */
export function targetGain(config: TrainingConfig): number {
  return config.target_l0_gain ?? Math.min(0.05, Math.max(3e-4, 5 / totalSteps(config)));
}

/** Steps over which steering takes the trend of L0: 5 % of the run, between 20 and 1,000. */
export function targetHorizon(config: TrainingConfig): number {
  return Math.min(1_000, Math.max(20, twentieth(config)));
}

function warmedUp(steps: number, step: number): number {
  return steps === 0 ? 1 : Math.min(1, step / steps);
}

/** 5 % of the run's steps. */
export function twentieth(config: TrainingConfig): number {
  return Math.floor(0.05 * totalSteps(config));
}

/** k at a step (from 0): falls linearly from k_anneal_from to k over k_anneal_steps; whole for topk. */
export function kAt(config: TrainingConfig, step: number): number {
  const { k, k_anneal_from, k_anneal_steps } = config;
  if (k_anneal_from === null || step >= k_anneal_steps) return k;
  const annealed = k_anneal_from + ((k - k_anneal_from) * step) / k_anneal_steps;
  return baseOf(config) === "topk" ? Math.round(annealed) : annealed;
}

/** Tokens after which a silent feature is dead: as given, or 5 % of the training tokens, 10 million at most. */
export function deadFeatureWindow(config: TrainingConfig): number {
  return (
    config.dead_feature_window_tokens ??
    Math.min(10_000_000, Math.max(1, Math.floor(0.05 * config.training_tokens)))
  );
}

/** Nominal k_aux: as given, or half the width that is reconstructed, 512 at most; 0 where AuxK is off. */
export function nominalAuxK(config: TrainingConfig): number {
  const fixedCount = ["topk", "batchtopk", "matryoshka_batchtopk"].includes(baseOf(config));
  if (!fixedCount || config.aux_loss_coefficient === 0) return 0;
  const most = config.k_aux ?? Math.min(512, Math.floor(widthsOf(config).output / 2));
  return Math.min(config.d_sae, Math.max(1, most));
}
