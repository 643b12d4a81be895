// The scalars that change from step to step; one uniform buffer, written by the queue before each step.
// gpu/kernels/step.ts writes the same layout.

struct Step {
  // Tokens in this batch; never more than the plan was made for.
  rows: u32,
  // Number of this step, from 1.
  number: u32,
  // Inputs are multiplied by this (normalize_activations).
  activation_scale: f32,
  // lr / (1 − β₁^t).
  step_size: f32,
  // 1 / √(1 − β₂^t).
  second_moment_scale: f32,
}
