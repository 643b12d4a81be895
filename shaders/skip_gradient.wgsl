// gW_skip[o, :] = 2/B · Σ_t e[t, o] · x[t, :], and each row's square norm. One workgroup a row of W_skip, tokens in order.
import constants::WORKGROUP;
import package::grid::group_number;
@if(half) import package::half::from_half;
import package::reduce::workgroup_sum;
import package::step::Step;

struct Shape {
  // Rows of W_skip, padded to whole vec4f of the output.
  rows: u32,
  stride_in: u32,
  // First vec4f of the region of errors.
  first: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@if(half) @group(0) @binding(2) var<storage, read> x: array<vec2u>;
@if(!half) @group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> errors: array<f32>;
@group(0) @binding(4) var<storage, read_write> gW_skip: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> square_norms: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let o = group_number(group, groups);
  if (o >= shape.rows) {
    return;
  }
  var square = 0.0;
  for (var c = lane; c < shape.stride_in; c += u32(WORKGROUP)) {
    var sum = vec4f();
    for (var t = 0u; t < step.rows; t++) {
      let e = errors[4u * shape.first + t * shape.rows + o];
      @if(half) {
        sum += e * from_half(x[t * shape.stride_in + c]);
      }
      @if(!half) {
        sum += e * x[t * shape.stride_in + c];
      }
    }
    sum *= 2.0 / f32(step.rows);
    gW_skip[o * shape.stride_in + c] = sum;
    square += dot(sum, sum);
  }
  square = workgroup_sum(square, lane);
  if (lane == 0u) {
    square_norms[o] = square;
  }
}
