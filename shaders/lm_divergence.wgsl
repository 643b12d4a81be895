// Takes one piece of two models' logits, a and b, into what KL(a ‖ b) of a token's distributions needs:
//   KL = Σ p (log p − log q) = Σ e^(a − m) (a − b) / Σ e^(a − m) − logsumexp(a) + logsumexp(b),  p ∝ e^a, q ∝ e^b
// in one walk over the vocabulary: (m, Σ e^(a − m), Σ e^(a − m) (a − b)), m being the largest a so far, as the softmax of
// lm_loss.wgsl is taken. Where a is b, the last sum is zero to the bit. One workgroup a token.
import constants::WORKGROUP;
import package::grid::group_number;
import package::step::Step;

struct Shape {
  // Tokens of the vocabulary in this piece, and f32 of a row of it.
  first: u32,
  count: u32,
  pitch: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> clean: array<f32>;
@group(0) @binding(3) var<storage, read> other: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<vec4f>;

const LOWEST = -1e30;

var<workgroup> partial: array<vec3f, WORKGROUP>;

// (m, Σ, Σ) of two sets, as those of both.
fn joined(a: vec3f, b: vec3f) -> vec3f {
  let largest = max(a.x, b.x);
  return vec3f(largest, a.yz * exp(max(a.x - largest, -100.0)) + b.yz * exp(max(b.x - largest, -100.0)));
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
  var own = vec3f(LOWEST, 0.0, 0.0);
  for (var c = lane; c < shape.count; c += u32(WORKGROUP)) {
    let a = clean[row + c];
    own = joined(own, vec3f(a, 1.0, a - other[row + c]));
  }
  partial[lane] = own;
  workgroupBarrier();
  if (lane > 0u) {
    return;
  }
  var all = vec3f(LOWEST, 0.0, 0.0);
  for (var i = 0u; i < u32(WORKGROUP); i++) {
    all = joined(all, partial[i]);
  }
  if (shape.first > 0u) {
    all = joined(sums[t].xyz, all);
  }
  sums[t] = vec4f(all, 0.0);
}
