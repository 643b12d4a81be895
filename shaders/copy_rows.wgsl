// Rows of one buffer into another, one invocation a number.
//   gather    row i of the list, of x, to row y + i
//   scatter   row x + i to row i of the list, of y
//   neither   row x + i to row y + i
// Either side may be some columns of a wider row, or lie in padded groups (gpu/lm/layout.ts), or hold only a part of the
// rows that are counted: a row that is not in its part is left to the part that has it.
//   checked   marks numbers that are not finite
import constants::WORKGROUP;
@if(checked) import package::control::{DIVERGED, divergence_mark, not_finite};
import package::grid::group_number;

struct Side {
  // f32 from row to row: 0 where one row stands for all.
  pitch: u32,
  // First column.
  column: u32,
  // Numbers of a group, and f32 of a padded one.
  size: u32,
  group_pitch: u32,
  // First row in the buffer, and how many there are.
  first: u32,
  rows: u32,
}

struct Shape {
  x: Side,
  y: Side,
  // Columns that are copied.
  width: u32,
}

// Written anew for each use.
struct Range {
  count: u32,
  // First entry of the list.
  list: u32,
  // First row of the side that no list is for.
  x: u32,
  y: u32,
}

@group(0) @binding(0) var<uniform> range: Range;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@if(gather || scatter) @group(0) @binding(4) var<storage, read> list: array<u32>;
@if(checked) @group(0) @binding(5) var<storage, read_write> counters: array<atomic<u32>>;

fn place(side: Side, row: u32, c: u32) -> u32 {
  let column = side.column + c;
  return (row - side.first) * side.pitch + column / side.size * side.group_pitch + column % side.size;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let number = group_number(group, groups) * u32(WORKGROUP) + lane;
  let i = number / shape.width;
  if (i >= range.count) {
    return;
  }
  let c = number % shape.width;
  var x_row = range.x + i;
  var y_row = range.y + i;
  @if(gather) {
    x_row = list[range.list + i];
  }
  @if(scatter) {
    y_row = list[range.list + i];
  }
  if (x_row - shape.x.first >= shape.x.rows || y_row - shape.y.first >= shape.y.rows) {
    return;
  }
  let value = x[place(shape.x, x_row, c)];
  @if(checked) {
    if (not_finite(value)) {
      atomicMax(&counters[DIVERGED], divergence_mark(1u));
    }
  }
  y[place(shape.y, y_row, c)] = value;
}
