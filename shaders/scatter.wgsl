// Counting sort, second half. One invocation a slot: puts (token, value, gradient) into its feature's segment, tokens
// ascending. Features within a token differ, so the rank of an entry is a count of bits.
import constants::WORKGROUP;
@if(aux) import package::control::Control;
import package::entry::Entry;
import package::grid::group_number;
import package::step::Step;

struct Shape {
  d_sae: u32,
  k: u32,
  first_segment: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> values: array<f32>;
@group(0) @binding(4) var<storage, read> gradients: array<f32>;
@group(0) @binding(5) var<storage, read> active_words: array<u32>;
@group(0) @binding(6) var<storage, read> before: array<u32>;
@group(0) @binding(7) var<storage, read> segments: array<vec2u>;
@group(0) @binding(8) var<storage, read_write> entries: array<Entry>;
@if(aux) @group(0) @binding(9) var<storage, read> control: Control;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let slot = group_number(group, groups) * u32(WORKGROUP) + lane;
  let token = slot / shape.k;
  if (token >= step.rows) {
    return;
  }
  @if(aux) {
    if (slot % shape.k >= control.k_aux) {
      return;
    }
  }
  @if(!aux) {
    if (values[slot] <= 0.0) {
      return;
    }
  }
  let f = indices[slot];
  let i = (token / 32u) * shape.d_sae + f;
  let earlier = active_words[i] & ((1u << (token % 32u)) - 1u);
  let position = segments[shape.first_segment + f].x + before[i] + countOneBits(earlier);
  entries[position] = Entry(token, values[slot], gradients[slot]);
}
