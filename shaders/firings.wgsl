// How often each feature is active in the batch. One invocation a feature.
// `train` updates the dead counters; `evaluate` adds up firing counts.
import constants::WORKGROUP;
import package::control::N_ACTIVE;
import package::grid::group_number;
import package::step::Step;

struct Shape {
  d_sae: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> words: array<u32>;
@group(0) @binding(3) var<storage, read_write> control: array<atomic<u32>>;
@if(train) @group(0) @binding(4) var<storage, read_write> tokens_since_fired: array<u32>;
@if(evaluate) @group(0) @binding(4) var<storage, read_write> firings: array<u32>;

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
  var count = 0u;
  for (var tile = 0u; tile * 32u < step.rows; tile++) {
    count += countOneBits(words[tile * shape.d_sae + f]);
  }
  if (count > 0u) {
    atomicAdd(&control[N_ACTIVE], count);
  }
  @if(train) {
    let age = tokens_since_fired[f];
    // Stops at the largest u32 instead of wrapping.
    tokens_since_fired[f] = select(age + min(step.rows, 0xffffffffu - age), 0u, count > 0u);
  }
  @if(evaluate) {
    firings[f] += count;
  }
}
