import type { TrainingConfig } from "../../../gpu/sae/config.ts";
import { deadFeatureWindow } from "../../../gpu/sae/schedule.ts";
import { checkParameters, tensor, zeros } from "./problem.ts";
import type { Parameters } from "./types.ts";

export interface ReferenceState {
  /** By the names and shapes of `parameterShapes`. */
  parameters: Parameters;
  m: Parameters;
  v: Parameters;
  /** Running mean of the weights; null without ema_decay. */
  ema: Parameters | null;
  /** Tokens since each feature last fired, [d_sae]. */
  tokens_since_fired: Float64Array;
  /** batchtopk family: running mean of the smallest value kept, from 0, without the correction. */
  threshold_mean: number;
  /** What steers towards target_l0. */
  log_l0: number;
  log_l0_slow: number;
  log_multiplier: number;
}

/** The state before the first step. Copies the parameters. */
export function newState(
  config: TrainingConfig,
  parameters: Record<string, Float64Array | Float32Array>,
): ReferenceState {
  const copy = (): Parameters =>
    Object.fromEntries(Object.entries(parameters).map(([name, values]) => [name, Float64Array.from(values)]));
  checkParameters(copy(), config);
  return {
    parameters: copy(),
    m: zeros(config),
    v: zeros(config),
    ema: config.ema_decay === null ? null : copy(),
    tokens_since_fired: new Float64Array(config.d_sae),
    threshold_mean: 0,
    log_l0: 0,
    log_l0_slow: 0,
    log_multiplier: 0,
  };
}

/** Features silent for longer than the window, ascending. */
export function deadFeatures({ tokens_since_fired }: ReferenceState, config: TrainingConfig): number[] {
  const window = deadFeatureWindow(config);
  return [...tokens_since_fired.keys()].filter((i) => tokens_since_fired[i]! > window);
}

/** @param features f [B, d_sae]. */
export function countSilence({ tokens_since_fired }: ReferenceState, features: Float64Array): void {
  const d_sae = tokens_since_fired.length;
  const B = features.length / d_sae;
  const fired = new Set<number>();
  features.forEach((value, at) => {
    if (value > 0) fired.add(at % d_sae);
  });
  tokens_since_fired.forEach((age, i) => {
    tokens_since_fired[i] = fired.has(i) ? 0 : age + B;
  });
}

/** ema = decay · ema + (1 − decay) · parameters. */
export function average({ ema, parameters }: ReferenceState, decay: number): void {
  if (ema === null) throw new Error("This state was made without ema_decay.");
  for (const name of Object.keys(ema)) {
    const mean = tensor(ema, name);
    tensor(parameters, name).forEach((value, at) => {
      mean[at] = decay * mean[at]! + (1 - decay) * value;
    });
  }
}
