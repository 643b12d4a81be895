import { baseOf } from "../../../gpu/sae/architecture.ts";
import type { TrainingConfig } from "../../../gpu/sae/config.ts";
import { targetGain, targetHorizon } from "../../../gpu/sae/schedule.ts";
import type { ReferenceState } from "./state.ts";

/** Whether the penalty's coefficient is steered: a quadratic penalty aims at target_l0 by itself. */
export function isSteered(config: TrainingConfig): boolean {
  const base = baseOf(config);
  if (config.target_l0 === null) return false;
  if (base === "jumprelu") return config.jumprelu_sparsity_loss_mode !== "quadratic";
  return base === "standard" || base === "gated";
}

/**
 * With q = ln max(l0, 1e-3), a fast mean F ← 0.9 F + 0.1 q and a slow one S ← S + (q − S) / horizon, both from the first
 * step's q: log multiplier ← log multiplier + gain · tanh(3 (2 F − S − ln target_l0)), held between ln 1e-3 and ln 1e3.
 */
export function steer(state: ReferenceState, config: TrainingConfig, step: number, l0: number): void {
  if (!isSteered(config) || config.target_l0 === null) return;
  const q = Math.log(Math.max(l0, 1e-3));
  state.log_l0 = step === 0 ? q : 0.9 * state.log_l0 + 0.1 * q;
  state.log_l0_slow = step === 0 ? q : state.log_l0_slow + (q - state.log_l0_slow) / targetHorizon(config);
  const push = Math.tanh(3 * (2 * state.log_l0 - state.log_l0_slow - Math.log(config.target_l0)));
  const moved = state.log_multiplier + targetGain(config) * push;
  state.log_multiplier = Math.min(Math.log(1e3), Math.max(Math.log(1e-3), moved));
}
