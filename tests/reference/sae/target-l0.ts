import { baseOf } from "../../../gpu/sae/architecture.ts";
import type { TrainingConfig } from "../../../gpu/sae/config.ts";
import type { ReferenceState } from "./state.ts";

/** Whether the penalty's coefficient is steered: a quadratic penalty aims at target_l0 by itself. */
export function isSteered(config: TrainingConfig): boolean {
  const base = baseOf(config);
  if (config.target_l0 === null) return false;
  if (base === "jumprelu") return config.jumprelu_sparsity_loss_mode !== "quadratic";
  return base === "standard" || base === "gated";
}

/**
 * l̄ ← l̄ + (1 − 0.99)(l0 − l̄), from the first step's l0, and
 * log multiplier ← log multiplier + gain · tanh(10 (l̄ / target_l0 − 1)), held between ln 1e-3 and ln 1e3.
 */
export function steer(state: ReferenceState, config: TrainingConfig, step: number, l0: number): void {
  if (!isSteered(config) || config.target_l0 === null) return;
  if (step === 0) state.l0_mean = l0;
  else state.l0_mean += (1 - 0.99) * (l0 - state.l0_mean);
  const push = Math.tanh(10 * (state.l0_mean / config.target_l0 - 1));
  const moved = state.log_multiplier + config.target_l0_gain * push;
  state.log_multiplier = Math.min(Math.log(1e3), Math.max(Math.log(1e-3), moved));
}
