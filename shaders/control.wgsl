// What one kernel of a step decides for later ones. gpu/kernels/control.ts has the same layout.

// AuxK among the dead features of one nested dictionary (of the only one, but for Matryoshka).
struct AuxLevel {
  // Dead features in it, and how many of them are selected per token.
  n_dead: u32,
  k: u32,
  // aux_loss_coefficient · min(n_dead / nominal k_aux, 1).
  scale: f32,
  pad: u32,
}

struct Control {
  // Features dead at the start of the step.
  n_dead: u32,
  // Activations above zero in this batch.
  n_active: u32,
  // Norm of the whole gradient before clipping, and the factor that clips it.
  grad_norm: f32,
  clip: f32,
  // Coefficient of the sparsity penalty: as scheduled, times what steers it towards target_l0.
  coefficient: f32,
  // Inference threshold of BatchTopK as it stands.
  threshold: f32,
  pad0: u32,
  pad1: u32,
  aux: array<AuxLevel, 16>,
  // One bit a feature: it is dead. Then, for lp_norm, ‖u‖_p of each token as bits of f32.
  tail: array<u32>,
}

// Word of n_active, where the control is bound as atomic words.
const N_ACTIVE = 1u;

// Word of the atomic counters: 0, or 0xffffffff − the first step at which a number was not finite.
const DIVERGED = 0u;

fn not_finite(value: f32) -> bool {
  // By bits: shader compilers may assume that a comparison never meets NaN.
  return (bitcast<u32>(value) & 0x7f800000u) == 0x7f800000u;
}

// Exponents in place: 0x7f800000 for infinity and NaN.
fn exponents(values: vec4f) -> vec4u {
  return bitcast<vec4u>(values) & vec4u(0x7f800000u);
}

fn divergence_mark(step: u32) -> u32 {
  return 0xffffffffu - step;
}
