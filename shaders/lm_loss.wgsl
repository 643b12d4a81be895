// Takes one piece of the logits into what a token's loss needs: (largest logit, Σ exp(logit − largest), logit of the
// next token). One workgroup a token; its lanes keep a softmax each, which are then joined.
import constants::WORKGROUP;
import package::grid::group_number;
import package::step::Step;

struct Shape {
  // Tokens of the vocabulary in this piece, and f32 of a row of it.
  first: u32,
  count: u32,
  pitch: u32,
  length: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read> logits: array<f32>;
@group(0) @binding(4) var<storage, read_write> losses: array<vec4f>;

const LOWEST = -1e30;

var<workgroup> partial: array<vec2f, WORKGROUP>;

// Softmax sums (largest, total) of two sets, as those of both.
fn joined(a: vec2f, b: vec2f) -> vec2f {
  let largest = max(a.x, b.x);
  let totals = vec2f(a.y, b.y) * exp(max(vec2f(a.x, b.x) - largest, vec2f(-100.0)));
  return vec2f(largest, totals.x + totals.y);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = group_number(group, groups);
  if (t >= step.rows) {
    return;
  }
  let row = t * shape.pitch;
  var own = vec2f(LOWEST, 0.0);
  for (var c = lane; c < shape.count; c += u32(WORKGROUP)) {
    own = joined(own, vec2f(logits[row + c], 1.0));
  }
  partial[lane] = own;
  workgroupBarrier();
  if (lane > 0u) {
    return;
  }
  var all = vec2f(LOWEST, 0.0);
  for (var i = 0u; i < u32(WORKGROUP); i++) {
    all = joined(all, partial[i]);
  }
  var loss = vec4f(all, 0.0, 0.0);
  if (shape.first > 0u) {
    let before = losses[t];
    loss = vec4f(joined(before.xy, all), before.zw);
  }
  // A sequence's last token has no next one.
  if (t % shape.length + 1u < shape.length) {
    let next = ids[t + 1u];
    if (next >= shape.first && next - shape.first < shape.count) {
      loss.z = logits[row + next - shape.first];
    }
  }
  losses[t] = loss;
}
