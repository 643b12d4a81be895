// What one kernel of a step decides for later ones. gpu/kernels/control.ts has the same layout.

struct Control {
  // Features dead at the start of the step, and how many of them AuxK selects per token.
  n_dead: u32,
  k_aux: u32,
  // aux_loss_coefficient · min(n_dead / nominal k_aux, 1).
  aux_scale: f32,
  // Norm of the whole gradient before clipping, and the factor that clips it.
  grad_norm: f32,
  clip: f32,
}

// Words of the atomic counters.
const MAIN_ENTRIES = 0u;
const AUX_ENTRIES = 1u;
// 0, or 0xffffffff − the first step at which a number was not finite.
const DIVERGED = 2u;

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
