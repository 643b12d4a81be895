import { packWords } from "./uniforms.ts";

/** Bytes of the uniform below. */
export const stepUniformBytes = 32;

/** The scalars that change from step to step (shaders/step.wgsl). */
export interface StepScalars {
  /** Tokens in this batch. */
  rows: number;
  /** Number of the step, from 1. */
  number: number;
  /** lr / (1 − β₁^t). */
  step_size: number;
  /** 1 / √(1 − β₂^t). */
  second_moment_scale: number;
  /** Scheduled coefficient of the sparsity penalty. */
  sparsity_coefficient: number;
  /** Features kept per token (topk), or in the whole batch (batchtopk). */
  k: number;
  /** 1 / (1 − (1 − topk_threshold_lr)^t). */
  threshold_scale: number;
  /** Position of the first row, where a language model takes up a sequence in parts; default 0. */
  first?: number;
}

export function packStep(s: StepScalars): ArrayBuffer {
  return packWords([
    s.rows,
    s.number,
    { f32: s.step_size },
    { f32: s.second_moment_scale },
    { f32: s.sparsity_coefficient },
    s.k,
    { f32: s.threshold_scale },
    s.first ?? 0,
  ]);
}
