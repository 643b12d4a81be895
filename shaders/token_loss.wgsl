// ‖e‖² of every token of a batch. One invocation a token.
import constants::WORKGROUP;
import package::grid::group_number;
import package::step::Step;

struct Shape {
  stride: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> errors: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let token = group_number(group, groups) * u32(WORKGROUP) + lane;
  if (token >= step.rows) {
    return;
  }
  var square = 0.0;
  for (var c = 0u; c < shape.stride; c++) {
    let e = errors[token * shape.stride + c];
    square += dot(e, e);
  }
  losses[token] = square;
}
