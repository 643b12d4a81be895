// Reconstructed rows take the place of a model's own, and are measured against them. One workgroup a row:
//   y[list[i]] = x̂ = reconstruction[i], denormalised (· scale + shift) where the SAE normalises tokens
//   errors[i] = e = x̂ − x, x being the target row
//   statistics[list entry] = (Σ e², Σ (x − mean)², Σ x², Σ x̂²), (Σ x x̂, 0, 0, 0)
// `layer_norm`, `constant_norm`: norms are (shift, factor) of token_norms.wgsl, of which scale and shift are made.
import constants::WORKGROUP;
import package::grid::group_number;
import package::reduce::workgroup_sum;

@if(lockstep) enable subgroups;

struct Shape {
  // Numbers of a row, and f32 of a padded one of the reconstruction and of the errors.
  width: u32,
  pitch: u32,
  // How y lies: f32 of a row; numbers of a group, and f32 of a padded one.
  y_pitch: u32,
  size: u32,
  group_pitch: u32,
}

struct Range {
  count: u32,
  list: u32,
  x: u32,
  y: u32,
}

@group(0) @binding(0) var<uniform> range: Range;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> reconstruction: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<f32>;
@group(0) @binding(4) var<storage, read> mean: array<f32>;
@group(0) @binding(5) var<storage, read> list: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
@group(0) @binding(7) var<storage, read_write> errors: array<f32>;
@group(0) @binding(8) var<storage, read_write> statistics: array<vec4f>;
@if(layer_norm || constant_norm) @group(0) @binding(9) var<storage, read> norms: array<vec2f>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_number(group, groups);
  if (i >= range.count) {
    return;
  }
  let to = list[range.list + i] * shape.y_pitch;
  @if(layer_norm || constant_norm) let norm = norms[i];
  // A token without length has the factor 0, and nothing to scale.
  @if(constant_norm) let scale = select(0.0, 1.0 / norm.y, norm.y > 0.0);
  @if(layer_norm) let scale = select(0.0, 1.0 / norm.y - 1e-5, norm.y > 0.0);
  var error = 0.0;
  var spread = 0.0;
  var square = 0.0;
  var output = 0.0;
  var inner = 0.0;
  for (var c = lane; c < shape.pitch; c += u32(WORKGROUP)) {
    if (c >= shape.width) {
      errors[i * shape.pitch + c] = 0.0;
      continue;
    }
    let x = targets[i * shape.width + c];
    var value = reconstruction[i * shape.pitch + c];
    @if(layer_norm || constant_norm) {
      value = value * scale + norm.x;
    }
    let e = value - x;
    let centred = x - mean[c];
    error += e * e;
    spread += centred * centred;
    square += x * x;
    output += value * value;
    inner += x * value;
    errors[i * shape.pitch + c] = e;
    y[to + c / shape.size * shape.group_pitch + c % shape.size] = value;
  }
  let first = vec4f(
    workgroup_sum(error, lane),
    workgroup_sum(spread, lane),
    workgroup_sum(square, lane),
    workgroup_sum(output, lane),
  );
  let second = workgroup_sum(inner, lane);
  if (lane == 0u) {
    statistics[2u * (range.list + i)] = first;
    statistics[2u * (range.list + i) + 1u] = vec4f(second, 0.0, 0.0, 0.0);
  }
}
