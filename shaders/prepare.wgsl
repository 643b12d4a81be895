// x[t, :] = scale · raw[t, :] (− b_dec), rows padded with zeros to whole vec4f.
import constants::WORKGROUP;
import package::grid::group_number;
import package::step::Step;

struct Shape {
  d_in: u32,
  stride: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> raw: array<f32>;
@group(0) @binding(3) var<storage, read_write> x: array<vec4f>;
@if(subtract_b_dec) @group(0) @binding(4) var<storage, read> b_dec: array<vec4f>;

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
  let row = i / shape.stride;
  let first = (i % shape.stride) * 4u;
  var value = vec4f();
  for (var c = 0u; c < 4u; c++) {
    if (first + c < shape.d_in) {
      value[c] = step.activation_scale * raw[row * shape.d_in + first + c];
    }
  }
  @if(subtract_b_dec) {
    value -= b_dec[i % shape.stride];
  }
  x[i] = value;
}
