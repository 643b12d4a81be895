// Second pass of the metrics, over deviations from the batch's column means: an invocation takes a column of vec4f in a
// block of tokens and writes two vec4f of sums over them: (Σ (y − ȳ)², Σ (e − ē)², Σ e², what mse_loss sums) and
// (what aux_loss sums, 0, 0, 0). The regions of `errors` are those of decode.wgsl.
import constants::WORKGROUP;
@if(aux) import package::control::Control;
import package::grid::group_number;
import package::step::Step;

struct Shape {
  stride: u32,
  rows_per_block: u32,
  blocks: u32,
  // vec4f of a region; nested dictionaries; AuxK's levels and its first region.
  region_size: u32,
  levels: u32,
  aux_levels: u32,
  aux_region: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> y: array<vec4f>;
@group(0) @binding(3) var<storage, read> errors: array<vec4f>;
// Column sums by block (column_sum.wgsl, the same blocks).
@group(0) @binding(4) var<storage, read> y_sums: array<vec4f>;
@group(0) @binding(5) var<storage, read> error_sums: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> moments: array<vec4f>;
@if(aux) @group(0) @binding(7) var<storage, read> control: Control;

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
  var y_mean = vec4f();
  var error_mean = vec4f();
  for (var block = 0u; block < shape.blocks; block++) {
    y_mean += y_sums[block * shape.stride + c];
    error_mean += error_sums[block * shape.stride + c];
  }
  y_mean /= f32(step.rows);
  error_mean /= f32(step.rows);
  let begin = (i / shape.stride) * shape.rows_per_block;
  let end = min(begin + shape.rows_per_block, step.rows);
  var sums = vec4f();
  var auxiliary = 0.0;
  for (var t = begin; t < end; t++) {
    let at = t * shape.stride + c;
    let y_deviation = y[at] - y_mean;
    let e = errors[at];
    let e_deviation = e - error_mean;
    let square = dot(e, e);
    var loss = square;
    @if(nested) {
      // Errors of the smaller dictionaries, from the suffix sums.
      for (var region = 1u; region < shape.levels; region++) {
        let own = errors[region * shape.region_size + at] - errors[(region - 1u) * shape.region_size + at];
        loss += dot(own, own);
      }
    }
    sums += vec4f(dot(y_deviation, y_deviation), dot(e_deviation, e_deviation), square, loss);
    @if(multi) {
      let fourfold = errors[2u * shape.region_size + at];
      auxiliary += 8.0 * dot(fourfold, fourfold);
    }
    @if(gated) {
      let gate = errors[shape.region_size + at];
      auxiliary += dot(gate, gate);
    }
    @if(aux) {
      for (var a = 0u; a < shape.aux_levels; a++) {
        // The error carries the loss's factor once.
        let scale = control.aux[a].scale;
        if (scale > 0.0) {
          let own = errors[(shape.aux_region + a) * shape.region_size + at];
          auxiliary += dot(own, own) / scale;
        }
      }
    }
  }
  moments[2u * i] = sums;
  moments[2u * i + 1u] = vec4f(auxiliary, 0.0, 0.0, 0.0);
}
