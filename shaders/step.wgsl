// The scalars that change from step to step; one uniform buffer, written by the queue before each step.
// gpu/kernels/step.ts writes the same layout.

struct Step {
  // Tokens in this batch; never more than the plan was made for.
  rows: u32,
  // Number of this step, from 1.
  number: u32,
  // lr / (1 − β₁^t).
  step_size: f32,
  // 1 / √(1 − β₂^t).
  second_moment_scale: f32,
  // Scheduled coefficient of the sparsity penalty.
  sparsity_coefficient: f32,
  // Features kept per token (topk), or in the whole batch (batchtopk).
  k: u32,
  // 1 / (1 − (1 − topk_threshold_lr)^t): corrects the running mean of the smallest kept activation.
  threshold_scale: f32,
  // Position of the first row, where a language model takes up a sequence in parts; else 0.
  first: u32,
}
