// The 16-bit copy of a tensor.
import constants::WORKGROUP;
import package::grid::group_number;
import package::half::to_half;

struct Shape {
  // vec4f in all.
  count: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> tensor: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> halves: array<vec2u>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_number(group, groups) * u32(WORKGROUP) + lane;
  if (i < shape.count) {
    halves[i] = to_half(tensor[i]);
  }
}
