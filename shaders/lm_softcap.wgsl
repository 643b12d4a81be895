// y = cap · tanh(y / cap). In place, one invocation a vec4f.
import constants::WORKGROUP;
import package::grid::group_number;
import package::lm_math::precise_tanh;
import package::step::Step;

struct Shape {
  // vec4f of a row.
  stride: u32,
  cap: f32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

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
  let x = y[i] / shape.cap;
  y[i] = shape.cap * vec4f(precise_tanh(x.x), precise_tanh(x.y), precise_tanh(x.z), precise_tanh(x.w));
}
