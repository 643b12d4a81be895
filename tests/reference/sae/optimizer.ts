import type { TrainingConfig } from "../../../gpu/sae/config.ts";
import { squares } from "./linear.ts";
import { tensor } from "./problem.ts";
import type { Parameters } from "./types.ts";

type Rows = { d_sae: number; output: number };

/** Takes from each row of gW_dec its part along the row of W_dec, which is of norm 1. */
export function project(W_dec: Float64Array, gW_dec: Float64Array, { d_sae, output }: Rows): void {
  for (let i = 0; i < d_sae; i++) {
    let along = 0;
    for (let at = i * output; at < (i + 1) * output; at++) along += gW_dec[at]! * W_dec[at]!;
    for (let at = i * output; at < (i + 1) * output; at++) gW_dec[at]! -= along * W_dec[at]!;
  }
}

/** Gives each row the norm 1; rows of zeros stay. */
export function renormalise(W_dec: Float64Array, { d_sae, output }: Rows): void {
  for (let i = 0; i < d_sae; i++) {
    const row = W_dec.subarray(i * output, (i + 1) * output);
    const norm = Math.sqrt(squares(row));
    if (norm === 0) continue;
    for (let c = 0; c < output; c++) row[c]! /= norm;
  }
}

/** Norm of all gradients together. */
export function gradientNorm(gradients: Parameters): number {
  let square = 0;
  for (const name of Object.keys(gradients))
    for (const value of tensor(gradients, name)) square += value ** 2;
  return Math.sqrt(square);
}

/** Factor by which gradients are scaled down. */
export function clipFactor(config: TrainingConfig, norm: number): number {
  return config.grad_clip_norm === null ? 1 : Math.min(1, config.grad_clip_norm / (norm + 1e-6));
}

/** torch.optim.Adam, in place. @param step from 0. */
export function adam(
  { parameters, m, v }: { parameters: Parameters; m: Parameters; v: Parameters },
  gradients: Parameters,
  config: TrainingConfig,
  { clip, lr, step }: { clip: number; lr: number; step: number },
): void {
  const { adam_beta1: beta1, adam_beta2: beta2, adam_epsilon: epsilon } = config;
  for (const name of Object.keys(parameters)) {
    const value = tensor(parameters, name);
    const first = tensor(m, name);
    const second = tensor(v, name);
    tensor(gradients, name).forEach((gradient, at) => {
      const slope = clip * gradient;
      first[at] = beta1 * first[at]! + (1 - beta1) * slope;
      second[at] = beta2 * second[at]! + (1 - beta2) * slope ** 2;
      const mean = first[at]! / (1 - beta1 ** (step + 1));
      const square = second[at]! / (1 - beta2 ** (step + 1));
      value[at]! -= (lr * mean) / (Math.sqrt(square) + epsilon);
    });
  }
}
