// Sums of a matrix's columns over blocks of rows, rows in order: sums[block, c] = Σ_r (weight[r] ·) matrix[r, c].
// The reader adds the blocks, again in order. `batch`: the rows are the batch's tokens.
import constants::WORKGROUP;
import package::grid::group_number;
@if(batch) import package::step::Step;

struct Shape {
  rows: u32,
  stride: u32,
  rows_per_block: u32,
  blocks: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> matrix: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> sums: array<vec4f>;
@if(batch) @group(0) @binding(3) var<uniform> step: Step;
@if(weighted) @group(0) @binding(3) var<storage, read> weights: array<f32>;

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
  let begin = (i / shape.stride) * shape.rows_per_block;
  @if(batch) let rows = step.rows;
  @if(!batch) let rows = shape.rows;
  let end = min(begin + shape.rows_per_block, rows);
  var sum = vec4f();
  for (var r = begin; r < end; r++) {
    @if(weighted) {
      sum += weights[r] * matrix[r * shape.stride + c];
    }
    @if(!weighted) {
      sum += matrix[r * shape.stride + c];
    }
  }
  sums[i] = sum;
}
