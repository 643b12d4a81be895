// Normalisation of each token by itself, as (shift, factor): x = (raw − shift) · factor. One invocation a token.
//   constant_norm_rescale   shift 0, factor √d / ‖raw‖
//   layer_norm              shift the mean, factor 1 / (std + 1e-5), std over d − 1
// A token without length is left at zero.
import constants::WORKGROUP;
import package::grid::group_number;
import package::step::Step;

struct Shape {
  width: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> raw: array<f32>;
@group(0) @binding(3) var<storage, read_write> norms: array<vec2f>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_number(group, groups) * u32(WORKGROUP) + lane;
  if (row >= step.rows) {
    return;
  }
  let first = row * shape.width;
  var shift = 0.0;
  @if(layer_norm) {
    for (var c = 0u; c < shape.width; c++) {
      shift += raw[first + c];
    }
    shift /= f32(shape.width);
  }
  var square = 0.0;
  for (var c = 0u; c < shape.width; c++) {
    let value = raw[first + c] - shift;
    square += value * value;
  }
  var factor = 0.0;
  if (square > 0.0) {
    @if(layer_norm) {
      factor = 1.0 / (sqrt(square / (f32(shape.width) - 1.0)) + 1e-5);
    }
    @if(!layer_norm) {
      factor = sqrt(f32(shape.width) / square);
    }
  }
  norms[row] = vec2f(shift, factor);
}
