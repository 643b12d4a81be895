// The active features of each token, ascending, from the bits. One invocation a token: the tokens of a tile read the
// same words. Lists have room for `capacity`; the count says the truth, and who needs more than fits reads the bits.
import constants::WORKGROUP;
import package::grid::group_number;
import package::step::Step;

struct Shape {
  d_sae: u32,
  capacity: u32,
  // First word of the plane.
  plane: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> words: array<u32>;
@group(0) @binding(3) var<storage, read_write> indices: array<u32>;
@group(0) @binding(4) var<storage, read_write> counts: array<u32>;

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
  let base = shape.plane + (token / 32u) * shape.d_sae;
  let bit = token % 32u;
  let slots = token * shape.capacity;
  var count = 0u;
  for (var f = 0u; f < shape.d_sae; f++) {
    if (((words[base + f] >> bit) & 1u) == 1u) {
      if (count < shape.capacity) {
        indices[slots + count] = f;
      }
      count++;
    }
  }
  counts[token] = count;
}
