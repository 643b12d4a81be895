// y = n · (offset + w) + b of each row, or of each head of a row, with n
//   centred   (x − mean) / √(variance + eps)
//   else      x / √(mean square + eps)
// One workgroup a row. Two passes over it: the mean of squares less the square of the mean would lose small variances.
import constants::WORKGROUP;
import package::grid::group_number;
import package::reduce::workgroup_sum;
import package::step::Step;

@if(lockstep) enable subgroups;

struct Shape {
  // Numbers of a row or head, and its vec4f.
  width: u32,
  stride: u32,
  // Heads of a row.
  groups: u32,
  eps: f32,
  offset: f32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
// Where there is none, y is normalised in place.
@if(!in_place) @group(0) @binding(3) var<storage, read> x: array<vec4f>;
@if(weighted) @group(0) @binding(4) var<storage, read> w: array<vec4f>;
@if(biased) @group(0) @binding(5) var<storage, read> b: array<vec4f>;

fn x_at(i: u32) -> vec4f {
  @if(in_place) {
    return y[i];
  }
  @else {
    return x[i];
  }
}

// One where a column is, zero in the padding.
fn mask(c: u32) -> vec4f {
  return select(vec4f(0.0), vec4f(1.0), vec4u(4u * c) + vec4u(0u, 1u, 2u, 3u) < vec4u(shape.width));
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_number(group, groups);
  if (row >= step.rows * shape.groups) {
    return;
  }
  let first = row * shape.stride;
  var mean = 0.0;
  @if(centred) {
    var sum = 0.0;
    for (var c = lane; c < shape.stride; c += u32(WORKGROUP)) {
      sum += dot(x_at(first + c), vec4f(1.0));
    }
    mean = workgroup_sum(sum, lane) / f32(shape.width);
  }
  var square = 0.0;
  for (var c = lane; c < shape.stride; c += u32(WORKGROUP)) {
    let value = (x_at(first + c) - mean) * mask(c);
    square += dot(value, value);
  }
  let factor = 1.0 / sqrt(workgroup_sum(square, lane) / f32(shape.width) + shape.eps);
  for (var c = lane; c < shape.stride; c += u32(WORKGROUP)) {
    var value = (x_at(first + c) - mean) * factor * mask(c);
    @if(weighted) {
      value *= shape.offset + w[c];
    }
    @if(biased) {
      value += b[c];
    }
    y[first + c] = value;
  }
}
