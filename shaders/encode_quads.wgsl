// z[t, f] = ⟨x[t], W_enc[f]⟩ (+ b_enc[f]). W_enc is f32, f16 (half_W) or 8-bit numbers with a scale a feature
// (int8_W). No workgroup memory: an invocation keeps a tile of
// 8 tokens × 4 features in registers. The four invocations of a quad work on the same tokens, so each loads a quarter
// of the tokens and hands it round: on CPU adapters a load costs some ten times an fma, and this saves three in eight.
import package::control::{DIVERGED, divergence_mark, exponents};
import package::dots::dots;
import package::grid::group_number;
@if(half || half_W) import package::half::from_half;
@if(int8_W) import package::int8::from_int8;
import package::step::Step;

enable subgroups;

struct Shape {
  d_sae: u32,
  stride: u32,
  // Workgroups along the features.
  feature_groups: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@if(half) @group(0) @binding(2) var<storage, read> x: array<vec2u>;
@if(!half) @group(0) @binding(2) var<storage, read> x: array<vec4f>;
@if(half_W) @group(0) @binding(3) var<storage, read> W_enc: array<vec2u>;
@if(int8_W) @group(0) @binding(3) var<storage, read> W_enc: array<u32>;
@if(!half_W && !int8_W) @group(0) @binding(3) var<storage, read> W_enc: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> z: array<f32>;
@group(0) @binding(5) var<storage, read_write> counters: array<atomic<u32>>;
@if(biased) @group(0) @binding(6) var<storage, read> b_enc: array<f32>;
// Of each feature's 8-bit weights.
@if(int8_W) @group(0) @binding(7) var<storage, read> scales: array<f32>;

fn x_at(i: u32) -> vec4f {
  @if(half) {
    return from_half(x[i]);
  }
  @else {
    return x[i];
  }
}

fn W_enc_at(i: u32) -> vec4f {
  @if(half_W) {
    return from_half(W_enc[i]);
  }
  @if(int8_W) {
    return from_int8(W_enc[i]);
  }
  @if(!half_W && !int8_W) {
    return W_enc[i];
  }
}

fn bias_at(f: u32) -> f32 {
  @if(biased) {
    return b_enc[f];
  }
  @else {
    return 0.0;
  }
}

// A workgroup's tile is 4 · LANES features × 8 tokens (gpu/kernels/encode.ts).
const LANES = 16u;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
  let number = group_number(group, groups);
  let f = ((number % shape.feature_groups) * LANES + lane) * 4u;
  let t = (number / shape.feature_groups) * 8u;
  let rows = step.rows;
  // The same for the whole workgroup, as quad operations need it; features beyond the last are only not stored.
  if (t >= rows) {
    return;
  }
  // Tails of the tile repeat the last row; they are not stored.
  let last_t = rows - 1u;
  let last_f = shape.d_sae - 1u;
  let s = shape.stride;
  let own = t + (subgroup_lane & 3u);
  let x0 = min(own, last_t) * s;
  let x1 = min(own + 4u, last_t) * s;
  let w0 = min(f, last_f) * s;
  let w1 = min(f + 1u, last_f) * s;
  let w2 = min(f + 2u, last_f) * s;
  let w3 = min(f + 3u, last_f) * s;
  let bias = vec4f(
    bias_at(min(f, last_f)),
    bias_at(min(f + 1u, last_f)),
    bias_at(min(f + 2u, last_f)),
    bias_at(min(f + 3u, last_f)),
  );
  // Sums of 8-bit weights are scaled once they are whole.
  @if(int8_W) let start = vec4f();
  @if(!int8_W) let start = bias;
  var z0 = start;
  var z1 = start;
  var z2 = start;
  var z3 = start;
  var z4 = start;
  var z5 = start;
  var z6 = start;
  var z7 = start;
  for (var c = 0u; c < s; c++) {
    // Rows: features. A token's products with all four are dots with the rows.
    let b0 = W_enc_at(w0 + c);
    let b1 = W_enc_at(w1 + c);
    let b2 = W_enc_at(w2 + c);
    let b3 = W_enc_at(w3 + c);
    let a0 = x_at(x0 + c);
    let a1 = x_at(x1 + c);
    z0 += dots(quadBroadcast(a0, 0u), b0, b1, b2, b3);
    z1 += dots(quadBroadcast(a0, 1u), b0, b1, b2, b3);
    z2 += dots(quadBroadcast(a0, 2u), b0, b1, b2, b3);
    z3 += dots(quadBroadcast(a0, 3u), b0, b1, b2, b3);
    z4 += dots(quadBroadcast(a1, 0u), b0, b1, b2, b3);
    z5 += dots(quadBroadcast(a1, 1u), b0, b1, b2, b3);
    z6 += dots(quadBroadcast(a1, 2u), b0, b1, b2, b3);
    z7 += dots(quadBroadcast(a1, 3u), b0, b1, b2, b3);
  }
  @if(int8_W) {
    let scale = vec4f(scales[min(f, last_f)], scales[min(f + 1u, last_f)], scales[min(f + 2u, last_f)], scales[min(f + 3u, last_f)]);
    z0 = bias + scale * z0;
    z1 = bias + scale * z1;
    z2 = bias + scale * z2;
    z3 = bias + scale * z3;
    z4 = bias + scale * z4;
    z5 = bias + scale * z5;
    z6 = bias + scale * z6;
    z7 = bias + scale * z7;
  }
  store(t, f, z0, rows);
  store(t + 1u, f, z1, rows);
  store(t + 2u, f, z2, rows);
  store(t + 3u, f, z3, rows);
  store(t + 4u, f, z4, rows);
  store(t + 5u, f, z5, rows);
  store(t + 6u, f, z6, rows);
  store(t + 7u, f, z7, rows);
  // Tails repeat rows that are stored, so no number is tested that does not count.
  let low = max(max(exponents(z0), exponents(z1)), max(exponents(z2), exponents(z3)));
  let high = max(max(exponents(z4), exponents(z5)), max(exponents(z6), exponents(z7)));
  if (any(max(low, high) == vec4u(0x7f800000u))) {
    atomicMax(&counters[DIVERGED], divergence_mark(step.number));
  }
}

fn store(t: u32, f: u32, values: vec4f, rows: u32) {
  if (t >= rows) {
    return;
  }
  let at = t * shape.d_sae + f;
  if (f < shape.d_sae) {
    z[at] = values.x;
  }
  if (f + 1u < shape.d_sae) {
    z[at + 1u] = values.y;
  }
  if (f + 2u < shape.d_sae) {
    z[at + 2u] = values.z;
  }
  if (f + 3u < shape.d_sae) {
    z[at + 3u] = values.w;
  }
}
