// Adam as torch.optim.Adam, on the clipped gradient g:
//   m ← β₁ m + (1 − β₁) g     v ← β₂ v + (1 − β₂) g²     p ← p − lr · m/(1 − β₁^t) / (√(v/(1 − β₂^t)) + ε)
// `main` takes four elements an invocation; `unit_rows` takes a row a workgroup and scales it back to norm 1.
// `nonnegative`: no element falls below zero (JumpReLU's θ). `averaged`: a running mean follows. `half`: so does a
// 16-bit copy.
import constants::WORKGROUP;
import package::control::Control;
import package::grid::group_number;
@if(half) import package::half::to_half;
import package::reduce::workgroup_sum;
import package::step::Step;

struct Shape {
  // vec4f in all, and in a row.
  count: u32,
  stride: u32,
  beta1: f32,
  beta2: f32,
  // 1 − β, rounded once from the exact value.
  one_minus_beta1: f32,
  one_minus_beta2: f32,
  epsilon: f32,
  ema_decay: f32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read_write> parameters: array<vec4f>;
@group(0) @binding(3) var<storage, read> gradients: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> first_moments: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> second_moments: array<vec4f>;
@group(0) @binding(6) var<storage, read> control: Control;
@if(averaged) @group(0) @binding(7) var<storage, read_write> means: array<vec4f>;
@if(half) @group(0) @binding(8) var<storage, read_write> halves: array<vec2u>;

fn adam(i: u32) -> vec4f {
  let g = control.clip * gradients[i];
  let m = shape.beta1 * first_moments[i] + shape.one_minus_beta1 * g;
  let v = shape.beta2 * second_moments[i] + shape.one_minus_beta2 * g * g;
  first_moments[i] = m;
  second_moments[i] = v;
  let p = parameters[i] - step.step_size * m / (sqrt(v) * step.second_moment_scale + shape.epsilon);
  @if(nonnegative) {
    return max(p, vec4f());
  }
  @else {
    return p;
  }
}

// The step's result goes to everything that is kept of a parameter.
fn keep(i: u32, p: vec4f) {
  parameters[i] = p;
  @if(averaged) {
    means[i] += (1.0 - shape.ema_decay) * (p - means[i]);
  }
  @if(half) {
    halves[i] = to_half(p);
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_number(group, groups) * u32(WORKGROUP) + lane;
  if (i < shape.count) {
    keep(i, adam(i));
  }
}

@compute @workgroup_size(WORKGROUP)
fn unit_rows(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = group_number(group, groups) * shape.stride;
  if (first >= shape.count) {
    return;
  }
  var square = 0.0;
  for (var c = lane; c < shape.stride; c += u32(WORKGROUP)) {
    let p = adam(first + c);
    parameters[first + c] = p;
    square += dot(p, p);
  }
  square = workgroup_sum(square, lane);
  // A row of zeros has no direction; it stays.
  let scale = select(1.0, 1.0 / sqrt(square), square > 0.0);
  for (var c = lane; c < shape.stride; c += u32(WORKGROUP)) {
    keep(first + c, parameters[first + c] * scale);
  }
}
