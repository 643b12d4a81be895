// Rows of one buffer into another's: y[to + i, y_first + c] = x[row(i), x_first + c], row(i) being index[i] or i, for
// c below width. A row of x may lie in padded groups (a model's heads), which are joined. One invocation a number.
import constants::WORKGROUP;
import package::grid::group_number;

struct Shape {
  // Rows to copy, and the row of y that the first of them becomes.
  count: u32,
  to: u32,
  // f32 of a row in each buffer, and where in it the numbers begin.
  x_pitch: u32,
  x_first: u32,
  y_pitch: u32,
  y_first: u32,
  width: u32,
  // Numbers of a group in x, and f32 from one group to the next.
  group: u32,
  group_pitch: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@if(indexed) @group(0) @binding(3) var<storage, read> index: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_number(group, groups) * u32(WORKGROUP) + lane;
  let t = i / shape.width;
  let c = i % shape.width;
  if (t >= shape.count) {
    return;
  }
  var row = t;
  @if(indexed) {
    row = index[t];
  }
  let source = row * shape.x_pitch + shape.x_first + (c / shape.group) * shape.group_pitch + c % shape.group;
  y[(shape.to + t) * shape.y_pitch + shape.y_first + c] = x[source];
}
