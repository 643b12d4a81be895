// Adds one piece of the vocabulary to a token's divergence KL(p ‖ q) = Σ_c p_c (ln p_c − ln q_c), p and q being the softmax of
// two rows of logits whose sums are known. One workgroup a token.
import constants::WORKGROUP;
import package::grid::group_number;
import package::step::Step;

struct Shape {
  // Whether it is the first piece; tokens of the vocabulary in the piece, and f32 of a row of it.
  first: u32,
  count: u32,
  pitch: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> p_logits: array<f32>;
@group(0) @binding(3) var<storage, read> q_logits: array<f32>;
// (largest logit, Σ exp(logit − largest), …) of each token.
@group(0) @binding(4) var<storage, read> p_sums: array<vec4f>;
@group(0) @binding(5) var<storage, read> q_sums: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> kl: array<f32>;

var<workgroup> partial: array<f32, WORKGROUP>;

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
  let p_log = p_sums[t].x + log(p_sums[t].y);
  let q_log = q_sums[t].x + log(q_sums[t].y);
  var own = 0.0;
  for (var c = lane; c < shape.count; c += u32(WORKGROUP)) {
    let log_p = p_logits[row + c] - p_log;
    own += exp(max(log_p, -100.0)) * (log_p - (q_logits[row + c] - q_log));
  }
  partial[lane] = own;
  workgroupBarrier();
  if (lane > 0u) {
    return;
  }
  var sum = 0.0;
  for (var i = 0u; i < u32(WORKGROUP); i++) {
    sum += partial[i];
  }
  if (shape.first == 0u) {
    sum += kl[t];
  }
  kl[t] = sum;
}
