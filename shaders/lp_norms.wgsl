// ‖u‖_p of each token, u_i = f_i · ‖W_dec[i]‖ over the active features, into the control's tail. One invocation a token.
import constants::WORKGROUP;
import package::grid::group_number;
import package::step::Step;

struct Shape {
  d_sae: u32,
  p: f32,
  // First word written.
  first: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> z: array<f32>;
@group(0) @binding(3) var<storage, read> norms: array<f32>;
@group(0) @binding(4) var<storage, read_write> control: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let token = group_number(group, groups) * u32(WORKGROUP) + lane;
  if (token >= step.rows) {
    return;
  }
  // Relative to the largest, so that no power leaves the range of f32.
  var largest = 0.0;
  for (var f = 0u; f < shape.d_sae; f++) {
    largest = max(largest, z[token * shape.d_sae + f] * norms[f]);
  }
  var sum = 0.0;
  if (largest > 0.0) {
    for (var f = 0u; f < shape.d_sae; f++) {
      let u = max(z[token * shape.d_sae + f] * norms[f], 0.0) / largest;
      sum += select(0.0, pow(u, shape.p), u > 0.0);
    }
  }
  control[shape.first + token] = bitcast<u32>(largest * pow(sum, 1.0 / shape.p));
}
