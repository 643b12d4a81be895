// y = f(y), or f(y) · up where the MLP is gated: what enters W_out. In place, one invocation a vec4f. f(0) is 0, so
// padding stays zero.
import constants::WORKGROUP;
import package::grid::group_number;
@if(gelu) import package::lm_math::erf;
@if(gelu_tanh) import package::lm_math::precise_tanh;
import package::step::Step;

struct Shape {
  // vec4f of a row.
  stride: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@if(gated) @group(0) @binding(3) var<storage, read> up: array<vec4f>;

fn activation(x: f32) -> f32 {
  @if(gelu) {
    return 0.5 * x * (1.0 + erf(x * 0.70710678118654752));
  }
  @if(gelu_tanh) {
    return 0.5 * x * (1.0 + precise_tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
  }
  @if(silu) {
    // Clamped where the quotient is x or nothing in f32: exp overflows beyond.
    return x / (1.0 + exp(clamp(-x, -87.0, 87.0)));
  }
  @if(relu) {
    return max(x, 0.0);
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_number(group, groups) * u32(WORKGROUP) + lane;
  if (i >= step.rows * shape.stride) {
    return;
  }
  let x = y[i];
  var value = vec4f(activation(x.x), activation(x.y), activation(x.z), activation(x.w));
  @if(gated) {
    value *= up[i];
  }
  y[i] = value;
}
