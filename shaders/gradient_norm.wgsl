// Ends the backward pass, in one workgroup: the gradient of b_dec, the norm of the whole gradient, the clipping factor.
//   gb_dec = 2/B · Σ_t e[t]  (− Σ_f Σ_t dz[t, f] · W_enc[f], what flows back through the encoder's input x − b_dec)
//   clip   = min(1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_
import constants::WORKGROUP;
import package::control::{Control, DIVERGED, divergence_mark, not_finite};
import package::reduce::workgroup_sum;
import package::step::Step;

struct Shape {
  d_sae: u32,
  stride: u32,
  error_blocks: u32,
  encoder_blocks: u32,
  // Rows of W_skip whose gradients count too.
  skip_rows: u32,
  // 0: never clip.
  max_norm: f32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> error_sums: array<vec4f>;
@group(0) @binding(3) var<storage, read> square_norms: array<f32>;
@group(0) @binding(4) var<storage, read_write> gb_dec: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> control: Control;
@group(0) @binding(6) var<storage, read_write> counters: array<atomic<u32>>;
@if(subtract_b_dec) @group(0) @binding(7) var<storage, read> encoder_sums: array<vec4f>;
@if(skip) @group(0) @binding(8) var<storage, read> skip_square_norms: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
  var square = 0.0;
  for (var c = lane; c < shape.stride; c += u32(WORKGROUP)) {
    var gradient = vec4f();
    for (var block = 0u; block < shape.error_blocks; block++) {
      gradient += error_sums[block * shape.stride + c];
    }
    gradient *= 2.0 / f32(step.rows);
    @if(subtract_b_dec) {
      var through_encoder = vec4f();
      for (var block = 0u; block < shape.encoder_blocks; block++) {
        through_encoder += encoder_sums[block * shape.stride + c];
      }
      gradient -= through_encoder;
    }
    gb_dec[c] = gradient;
    square += dot(gradient, gradient);
  }
  for (var f = lane; f < shape.d_sae; f += u32(WORKGROUP)) {
    square += square_norms[f];
  }
  @if(skip) {
    for (var i = lane; i < shape.skip_rows; i += u32(WORKGROUP)) {
      square += skip_square_norms[i];
    }
  }
  square = workgroup_sum(square, lane);
  if (lane == 0u) {
    let norm = sqrt(square);
    control.grad_norm = norm;
    control.clip = 1.0;
    if (shape.max_norm > 0.0) {
      control.clip = min(1.0, shape.max_norm / (norm + 1e-6));
    }
    if (not_finite(square)) {
      atomicMax(&counters[DIVERGED], divergence_mark(step.number));
    }
  }
}
