// Turns each head's leading numbers by the position's angles, number i with number i + pairs (rotate_half). In place,
// one invocation a pair.
import constants::WORKGROUP;
import package::grid::group_number;
import package::step::Step;

struct Shape {
  heads: u32,
  // f32 of a padded head.
  pitch: u32,
  // Half of the numbers that are turned.
  pairs: u32,
  length: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
// (cos, sin) [length, pairs].
@group(0) @binding(2) var<storage, read> angles: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let number = group_number(group, groups) * u32(WORKGROUP) + lane;
  let head = number / shape.pairs;
  let t = head / shape.heads;
  if (t >= step.rows) {
    return;
  }
  let pair = number % shape.pairs;
  let angle = angles[((step.first + t) % shape.length) * shape.pairs + pair];
  let at = head * shape.pitch + pair;
  let a = x[at];
  let b = x[at + shape.pairs];
  x[at] = a * angle.x - b * angle.y;
  x[at + shape.pairs] = b * angle.x + a * angle.y;
}
