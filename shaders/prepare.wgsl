// One side of the batch, the encoder's input or a transcoder's target, from the raw rows, hook point by hook point:
//   x[t, m, :] = scale[m] · (raw[t, first + m · width, …] − mean[m, :]) (− b_dec[m, :])
// each hook point padded with zeros to whole vec4f. `token_norms`: x[t, :] = (raw − shift[t]) · factor[t] instead.
import constants::WORKGROUP;
import package::grid::group_number;
@if(half) import package::half::to_half;
import package::step::Step;

struct Shape {
  // Columns of a raw row, and the first that belongs to this side.
  raw_width: u32,
  first: u32,
  // Columns of a hook point, and vec4f of one padded; hook points.
  width: u32,
  stride: u32,
  points: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> raw: array<f32>;
@group(0) @binding(3) var<storage, read_write> x: array<vec4f>;
// Scale of each hook point, then the mean of every column (points · width); or (shift, factor) of each token.
@group(0) @binding(4) var<storage, read> normalization: array<f32>;
@if(subtract_b_dec) @group(0) @binding(5) var<storage, read> b_dec: array<vec4f>;
@if(half) @group(0) @binding(6) var<storage, read_write> halves: array<vec2u>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_number(group, groups) * u32(WORKGROUP) + lane;
  let row_stride = shape.points * shape.stride;
  if (i >= step.rows * row_stride) {
    return;
  }
  let row = i / row_stride;
  let point = (i % row_stride) / shape.stride;
  let column = (i % shape.stride) * 4u;
  let source = row * shape.raw_width + shape.first + point * shape.width + column;
  var value = vec4f();
  for (var c = 0u; c < 4u; c++) {
    if (column + c < shape.width) {
      @if(token_norms) {
        value[c] = (raw[source + c] - normalization[2u * row]) * normalization[2u * row + 1u];
      }
      @if(!token_norms) {
        let mean = normalization[shape.points + point * shape.width + column + c];
        value[c] = normalization[point] * (raw[source + c] - mean);
      }
    }
  }
  @if(subtract_b_dec) {
    value -= b_dec[i % row_stride];
  }
  x[i] = value;
  @if(half) {
    halves[i] = to_half(value);
  }
}
