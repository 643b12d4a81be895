// y[t] += x[t]: the residual stream takes up what a layer gives; or, repeated, y[t] += x[position of t mod period]: tokens
// their positions' vectors. One invocation a vec4f.
import constants::WORKGROUP;
import package::grid::group_number;
import package::step::Step;

struct Shape {
  // vec4f of a row.
  stride: u32,
  // Rows of x where they are repeated.
  period: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_number(group, groups) * u32(WORKGROUP) + lane;
  let t = i / shape.stride;
  if (t >= step.rows) {
    return;
  }
  @if(repeated) {
    y[i] += x[((step.first + t) % shape.period) * shape.stride + i % shape.stride];
  }
  @else {
    y[i] += x[i];
  }
}
