import type { TrainingConfig } from "../../gpu/sae/config.ts";
import { learningRate } from "../../gpu/sae/schedule.ts";

/*
 * The TopK training step in float64, written for plainness from the formulas at the head of gpu/sae/topk.ts:
 * dense loops, no sharing of work with the kernels.
 */

export const parameterNames = ["W_enc", "W_dec", "b_enc", "b_dec"] as const;
export type ParameterName = (typeof parameterNames)[number];

/** W_enc, W_dec [d_sae, d_in], b_enc [d_sae], b_dec [d_in], or gradients or moments of them. */
export type Parameters = Record<ParameterName, Float64Array>;

export interface ReferenceState {
  parameters: Parameters;
  m: Parameters;
  v: Parameters;
  tokens_since_fired: Float64Array;
}

export interface ReferenceForward {
  /** Encoder inputs and errors x̂ − x, [B, d_in]. */
  input: Float64Array;
  error: Float64Array;
  /** Pre-activations [B, d_sae]. */
  z: Float64Array;
  /** Per token the selected features, ascending. */
  selected: number[][];
  aux_selected: number[][];
  /** r̂ − (x − x̂) = r̂ + e, [B, d_in]. */
  aux_error: Float64Array;
  aux_scale: number;
  mse_loss: number;
  aux_loss: number;
}

export function zerosLike(parameters: Parameters): Parameters {
  return {
    W_enc: new Float64Array(parameters.W_enc.length),
    W_dec: new Float64Array(parameters.W_dec.length),
    b_enc: new Float64Array(parameters.b_enc.length),
    b_dec: new Float64Array(parameters.b_dec.length),
  };
}

/** The k candidates of largest value, ties to the lower feature, ascending. */
export function largest(values: ArrayLike<number>, candidates: readonly number[], k: number): number[] {
  return [...candidates]
    .sort((a, b) => values[b]! - values[a]! || a - b)
    .slice(0, k)
    .sort((a, b) => a - b);
}

/**
 * @param x scaled inputs [B, d_in].
 * @param dead features that AuxK revives.
 * @param residual errors to use in AuxK's target instead of this pass's own: held fixed for finite differences.
 */
export function forward(
  p: Parameters,
  x: Float64Array,
  config: TrainingConfig,
  dead: readonly number[],
  residual?: Float64Array,
): ReferenceForward {
  const { d_in, d_sae, k } = config;
  const B = x.length / d_in;
  const input = x.map((value, i) => value - (config.apply_b_dec_to_input ? p.b_dec[i % d_in]! : 0));
  const z = new Float64Array(B * d_sae);
  const error = new Float64Array(B * d_in);
  const aux_error = new Float64Array(B * d_in);
  const selected: number[][] = [];
  const aux_selected: number[][] = [];
  const everyFeature = Array.from({ length: d_sae }, (_, f) => f);
  const nominal = config.aux_loss_coefficient > 0 ? Math.floor(d_in / 2) : 0;
  const k_aux = Math.min(nominal, dead.length);
  const aux_scale = k_aux > 0 ? config.aux_loss_coefficient * Math.min(dead.length / nominal, 1) : 0;
  let mse_loss = 0;
  let aux_loss = 0;
  for (let t = 0; t < B; t++) {
    for (let f = 0; f < d_sae; f++) {
      let sum = p.b_enc[f]!;
      for (let i = 0; i < d_in; i++) sum += input[t * d_in + i]! * p.W_enc[f * d_in + i]!;
      z[t * d_sae + f] = sum;
    }
    const z_t = z.subarray(t * d_sae, (t + 1) * d_sae);
    const main = largest(z_t, everyFeature, k);
    const aux = largest(z_t, dead, k_aux);
    selected.push(main);
    aux_selected.push(aux);
    for (let i = 0; i < d_in; i++) {
      let reconstruction = p.b_dec[i]!;
      for (const f of main) reconstruction += Math.max(z_t[f]!, 0) * p.W_dec[f * d_in + i]!;
      const e = reconstruction - x[t * d_in + i]!;
      error[t * d_in + i] = e;
      mse_loss += e ** 2 / B;
      if (k_aux === 0) continue;
      let aux_e = residual?.[t * d_in + i] ?? e;
      for (const f of aux) aux_e += z_t[f]! * p.W_dec[f * d_in + i]!;
      aux_error[t * d_in + i] = aux_e;
      aux_loss += (aux_scale * aux_e ** 2) / B;
    }
  }
  return { input, error, z, selected, aux_selected, aux_error, aux_scale, mse_loss, aux_loss };
}

/** Gradients of mse_loss + aux_loss, the AuxK target taken as a constant; before projection and clipping. */
export function gradients(p: Parameters, pass: ReferenceForward, config: TrainingConfig): Parameters {
  const { d_in, d_sae } = config;
  const g = zerosLike(p);
  const B = pass.selected.length;
  const add = (
    t: number,
    f: number,
    activation: number,
    masked: boolean,
    slope: Float64Array,
    scale: number,
  ) => {
    let dz = 0;
    for (let i = 0; i < d_in; i++) {
      const de = ((2 * scale) / B) * slope[t * d_in + i]!;
      g.W_dec[f * d_in + i]! += activation * de;
      dz += p.W_dec[f * d_in + i]! * de;
    }
    if (masked) return;
    g.b_enc[f]! += dz;
    for (let i = 0; i < d_in; i++) {
      g.W_enc[f * d_in + i]! += dz * pass.input[t * d_in + i]!;
      if (config.apply_b_dec_to_input) g.b_dec[i]! -= dz * p.W_enc[f * d_in + i]!;
    }
  };
  for (let t = 0; t < B; t++) {
    for (let i = 0; i < d_in; i++) g.b_dec[i]! += (2 / B) * pass.error[t * d_in + i]!;
    for (const f of pass.selected[t]!) {
      const z = pass.z[t * d_sae + f]!;
      add(t, f, Math.max(z, 0), z <= 0, pass.error, 1);
    }
    for (const f of pass.aux_selected[t]!) {
      add(t, f, pass.z[t * d_sae + f]!, false, pass.aux_error, pass.aux_scale);
    }
  }
  return g;
}

/** Removes from each row of g.W_dec its part along the (unit) row of W_dec. */
export function project(p: Parameters, g: Parameters, { d_in, d_sae }: TrainingConfig): void {
  for (let f = 0; f < d_sae; f++) {
    let along = 0;
    for (let i = f * d_in; i < (f + 1) * d_in; i++) along += g.W_dec[i]! * p.W_dec[i]!;
    for (let i = f * d_in; i < (f + 1) * d_in; i++) g.W_dec[i]! -= along * p.W_dec[i]!;
  }
}

export function gradientNorm(g: Parameters): number {
  let square = 0;
  for (const name of parameterNames) for (const value of g[name]) square += value ** 2;
  return Math.sqrt(square);
}

export function deadFeatures(state: ReferenceState, config: TrainingConfig): number[] {
  return [...state.tokens_since_fired.keys()].filter(
    (f) => state.tokens_since_fired[f]! > config.dead_feature_window_tokens,
  );
}

/** One whole training step, in place. @param step from 0. */
export function trainStep(state: ReferenceState, x: Float64Array, config: TrainingConfig, step: number) {
  const { d_in, d_sae } = config;
  const { parameters: p, m, v } = state;
  const dead = deadFeatures(state, config);
  const pass = forward(p, x, config, dead);
  const g = gradients(p, pass, config);
  if (config.decoder_norm === "unit") project(p, g, config);
  const grad_norm = gradientNorm(g);
  const clip = config.grad_clip_norm === null ? 1 : Math.min(1, config.grad_clip_norm / (grad_norm + 1e-6));
  const lr = learningRate(config, step);
  const { adam_beta1: beta1, adam_beta2: beta2, adam_epsilon: epsilon } = config;
  for (const name of parameterNames) {
    for (let i = 0; i < p[name].length; i++) {
      const slope = clip * g[name][i]!;
      m[name][i] = beta1 * m[name][i]! + (1 - beta1) * slope;
      v[name][i] = beta2 * v[name][i]! + (1 - beta2) * slope ** 2;
      const mean = m[name][i]! / (1 - beta1 ** (step + 1));
      const square = v[name][i]! / (1 - beta2 ** (step + 1));
      p[name][i]! -= (lr * mean) / (Math.sqrt(square) + epsilon);
    }
  }
  if (config.decoder_norm === "unit") {
    for (let f = 0; f < d_sae; f++) {
      const row = p.W_dec.subarray(f * d_in, (f + 1) * d_in);
      const norm = Math.hypot(...row);
      for (let i = 0; i < d_in; i++) row[i]! /= norm;
    }
  }
  const fired = new Set<number>();
  let active = 0;
  pass.selected.forEach((features, t) => {
    for (const f of features) {
      if (pass.z[t * d_sae + f]! <= 0) continue;
      fired.add(f);
      active++;
    }
  });
  const B = pass.selected.length;
  state.tokens_since_fired.forEach((age, f) => {
    state.tokens_since_fired[f] = fired.has(f) ? 0 : age + B;
  });
  return { pass, gradients: g, grad_norm, dead, l0: active / B, lr };
}

/** FVU and explained variance of a batch, by their definitions. */
export function varianceMetrics(x: Float64Array, error: Float64Array, d_in: number) {
  const B = x.length / d_in;
  const deviation = (values: Float64Array) => {
    let total = 0;
    for (let i = 0; i < d_in; i++) {
      let mean = 0;
      for (let t = 0; t < B; t++) mean += values[t * d_in + i]! / B;
      for (let t = 0; t < B; t++) total += (values[t * d_in + i]! - mean) ** 2;
    }
    return total;
  };
  const squares = error.reduce((sum, e) => sum + e ** 2, 0);
  return { fvu: squares / deviation(x), explained_variance: 1 - deviation(error) / deviation(x) };
}
