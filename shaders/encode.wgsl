// z[t, f] = ⟨x[t], W_enc[f]⟩ (+ b_enc[f]). W_enc is f32, f16 (half_W) or 8-bit numbers with a scale a feature
// (int8_W). No workgroup memory: each invocation keeps a tile of
// 4 tokens × 4 features in registers.
import package::control::{DIVERGED, divergence_mark, exponents};
import package::dots::dots;
import package::grid::group_number;
@if(half || half_W) import package::half::from_half;
@if(int8_W) import package::int8::from_int8;
import package::step::Step;

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

// A workgroup's tile is 32 features × 32 tokens (gpu/kernels/encode.ts).
const LANES_F = 8u;
const LANES_T = 8u;

@compute @workgroup_size(LANES_F, LANES_T)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let number = group_number(group, groups);
  let f = ((number % shape.feature_groups) * LANES_F + local.x) * 4u;
  let t = ((number / shape.feature_groups) * LANES_T + local.y) * 4u;
  let rows = step.rows;
  if (t >= rows || f >= shape.d_sae) {
    return;
  }
  // Tails of the tile repeat the last row; they are not stored.
  let last_t = rows - 1u;
  let last_f = shape.d_sae - 1u;
  let s = shape.stride;
  let x0 = t * s;
  let x1 = min(t + 1u, last_t) * s;
  let x2 = min(t + 2u, last_t) * s;
  let x3 = min(t + 3u, last_t) * s;
  let w0 = f * s;
  let w1 = min(f + 1u, last_f) * s;
  let w2 = min(f + 2u, last_f) * s;
  let w3 = min(f + 3u, last_f) * s;
  let bias = vec4f(bias_at(f), bias_at(min(f + 1u, last_f)), bias_at(min(f + 2u, last_f)), bias_at(min(f + 3u, last_f)));
  // Sums of 8-bit weights are scaled once they are whole.
  @if(int8_W) let start = vec4f();
  @if(!int8_W) let start = bias;
  var z0 = start;
  var z1 = start;
  var z2 = start;
  var z3 = start;
  for (var c = 0u; c < s; c++) {
    let a0 = x_at(x0 + c);
    let a1 = x_at(x1 + c);
    let a2 = x_at(x2 + c);
    let a3 = x_at(x3 + c);
    let b0 = W_enc_at(w0 + c);
    let b1 = W_enc_at(w1 + c);
    let b2 = W_enc_at(w2 + c);
    let b3 = W_enc_at(w3 + c);
    z0 += dots(a0, b0, b1, b2, b3);
    z1 += dots(a1, b0, b1, b2, b3);
    z2 += dots(a2, b0, b1, b2, b3);
    z3 += dots(a3, b0, b1, b2, b3);
  }
  @if(int8_W) {
    let scale = vec4f(scales[f], scales[min(f + 1u, last_f)], scales[min(f + 2u, last_f)], scales[min(f + 3u, last_f)]);
    z0 = bias + scale * z0;
    z1 = bias + scale * z1;
    z2 = bias + scale * z2;
    z3 = bias + scale * z3;
  }
  store(t, f, z0, rows);
  store(t + 1u, f, z1, rows);
  store(t + 2u, f, z2, rows);
  store(t + 3u, f, z3, rows);
  // Tails repeat rows that are stored, so no number is tested that does not count.
  let largest = max(max(exponents(z0), exponents(z1)), max(exponents(z2), exponents(z3)));
  if (any(largest == vec4u(0x7f800000u))) {
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
