// Σ_m ‖W_dec[f, m]‖ of every feature, over hook points m or over whole rows. One invocation a feature.
import constants::WORKGROUP;
import package::grid::group_number;

struct Shape {
  d_sae: u32,
  // vec4f of a hook point, and how many there are in a row.
  stride: u32,
  points: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> W_dec: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> norms: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let f = group_number(group, groups) * u32(WORKGROUP) + lane;
  if (f >= shape.d_sae) {
    return;
  }
  var norm = 0.0;
  for (var m = 0u; m < shape.points; m++) {
    let first = (f * shape.points + m) * shape.stride;
    var square = 0.0;
    for (var c = 0u; c < shape.stride; c++) {
      let w = W_dec[first + c];
      square += dot(w, w);
    }
    norm += sqrt(square);
  }
  norms[f] = norm;
}
