// Second pass of the metrics, over deviations from the batch's column means: an invocation takes a column of vec4f in a
// block of tokens and writes Σ (x − x̄)², Σ (e − ē)², Σ e² and, for AuxK, Σ e_aux².
import constants::WORKGROUP;
import package::grid::group_number;
import package::step::Step;

struct Shape {
  stride: u32,
  rows_per_block: u32,
  blocks: u32,
  // First vec4f of the auxiliary errors.
  aux_errors: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> errors: array<vec4f>;
// Column sums by block (column_sum.wgsl, the same blocks).
@group(0) @binding(4) var<storage, read> x_sums: array<vec4f>;
@group(0) @binding(5) var<storage, read> error_sums: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> moments: array<vec4f>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_number(group, groups) * u32(WORKGROUP) + lane;
  if (i >= shape.blocks * shape.stride) {
    return;
  }
  let c = i % shape.stride;
  var x_mean = vec4f();
  var error_mean = vec4f();
  for (var block = 0u; block < shape.blocks; block++) {
    x_mean += x_sums[block * shape.stride + c];
    error_mean += error_sums[block * shape.stride + c];
  }
  x_mean /= f32(step.rows);
  error_mean /= f32(step.rows);
  let begin = (i / shape.stride) * shape.rows_per_block;
  let end = min(begin + shape.rows_per_block, step.rows);
  var sums = vec4f();
  for (var t = begin; t < end; t++) {
    let x_deviation = x[t * shape.stride + c] - x_mean;
    let e = errors[t * shape.stride + c];
    let e_deviation = e - error_mean;
    let e_aux = errors[shape.aux_errors + t * shape.stride + c];
    sums += vec4f(dot(x_deviation, x_deviation), dot(e_deviation, e_deviation), dot(e, e), dot(e_aux, e_aux));
  }
  moments[i] = sums;
}
