// y[t] = scale · W_E[id[t]], of the tokens whose rows are in this piece of W_E, which is f32, f16 (half) or 8-bit numbers
// with a scale a token (int8). One invocation a vec4f.
import constants::WORKGROUP;
import package::grid::group_number;
@if(half) import package::half::from_half;
@if(int8) import package::int8::from_int8;
import package::step::Step;

struct Shape {
  // vec4f of a row.
  stride: u32,
  // Tokens of the vocabulary in this piece.
  first: u32,
  count: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@if(half) @group(0) @binding(3) var<storage, read> W_E: array<vec2u>;
@if(int8) @group(0) @binding(3) var<storage, read> W_E: array<u32>;
@if(!half && !int8) @group(0) @binding(3) var<storage, read> W_E: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;
@if(int8) @group(0) @binding(5) var<storage, read> scales: array<f32>;

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
  let id = ids[t];
  if (id < shape.first || id - shape.first >= shape.count) {
    return;
  }
  let row = id - shape.first;
  let at = row * shape.stride + i % shape.stride;
  @if(half) {
    y[i] = shape.scale * from_half(W_E[at]);
  }
  @if(int8) {
    y[i] = shape.scale * (scales[row] * from_int8(W_E[at]));
  }
  @if(!half && !int8) {
    y[i] = shape.scale * W_E[at];
  }
}
