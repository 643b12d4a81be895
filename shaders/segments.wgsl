// Counting sort, first half. One invocation a feature: how often it is active, how many of its tokens lie before each
// tile of 32, and where its entries go. Segments are handed out by an atomic cursor: their order among features differs
// from run to run, but nothing depends on it; the order within one, which floats depend on, is fixed.
// `train` updates the dead counters; `evaluate` adds up firing counts.
import constants::WORKGROUP;
import package::grid::group_number;
import package::step::Step;

struct Shape {
  d_sae: u32,
  // Word of the cursor in `counters`; first segment; first entry.
  cursor: u32,
  first_segment: u32,
  first_entry: u32,
}

struct Segment {
  begin: u32,
  count: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> active_words: array<u32>;
// Tokens of feature f before tile [tile, f].
@group(0) @binding(3) var<storage, read_write> before: array<u32>;
@group(0) @binding(4) var<storage, read_write> segments: array<Segment>;
@group(0) @binding(5) var<storage, read_write> counters: array<atomic<u32>>;
@if(train) @group(0) @binding(6) var<storage, read_write> tokens_since_fired: array<u32>;
@if(evaluate) @group(0) @binding(6) var<storage, read_write> firings: array<u32>;

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
    let i = tile * shape.d_sae + f;
    before[i] = count;
    count += countOneBits(active_words[i]);
  }
  var begin = 0u;
  if (count > 0u) {
    begin = atomicAdd(&counters[shape.cursor], count);
  }
  segments[shape.first_segment + f] = Segment(shape.first_entry + begin, count);
  @if(train) {
    let age = tokens_since_fired[f];
    // Stops at the largest u32 instead of wrapping.
    tokens_since_fired[f] = select(age + min(step.rows, 0xffffffffu - age), 0u, count > 0u);
  }
  @if(evaluate) {
    firings[f] += count;
  }
}
