// y[f] = ⟨x, W[f]⟩ (+ b[f]) for a single row x, as generation has one: a workgroup takes four outputs, its lanes the
// columns in turn. W is f32, f16 (half_W) or 8-bit numbers with a scale an output (int8_W). Outputs come in whole vec4f.
import constants::WORKGROUP;
import package::control::{DIVERGED, divergence_mark, exponents};
import package::dots::dots;
import package::grid::group_number;
@if(half_W) import package::half::from_half;
@if(int8_W) import package::int8::from_int8;
import package::reduce::workgroup_sum;
import package::step::Step;

@if(lockstep) enable subgroups;

struct Shape {
  // vec4f of y, and of x and a row of W.
  outputs: u32,
  stride: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@if(half_W) @group(0) @binding(3) var<storage, read> W: array<vec2u>;
@if(int8_W) @group(0) @binding(3) var<storage, read> W: array<u32>;
@if(!half_W && !int8_W) @group(0) @binding(3) var<storage, read> W: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> counters: array<atomic<u32>>;
@if(biased) @group(0) @binding(6) var<storage, read> b: array<vec4f>;
@if(int8_W) @group(0) @binding(7) var<storage, read> scales: array<vec4f>;

fn W_at(i: u32) -> vec4f {
  @if(half_W) {
    return from_half(W[i]);
  }
  @if(int8_W) {
    return from_int8(W[i]);
  }
  @if(!half_W && !int8_W) {
    return W[i];
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let f = group_number(group, groups);
  if (f >= shape.outputs) {
    return;
  }
  let s = shape.stride;
  let first = 4u * f * s;
  var sums = vec4f();
  for (var c = lane; c < s; c += u32(WORKGROUP)) {
    let at = first + c;
    sums += dots(x[c], W_at(at), W_at(at + s), W_at(at + 2u * s), W_at(at + 3u * s));
  }
  var value = vec4f(
    workgroup_sum(sums.x, lane),
    workgroup_sum(sums.y, lane),
    workgroup_sum(sums.z, lane),
    workgroup_sum(sums.w, lane),
  );
  if (lane > 0u) {
    return;
  }
  @if(int8_W) {
    value *= scales[f];
  }
  @if(biased) {
    value += b[f];
  }
  y[f] = value;
  if (any(exponents(value) == vec4u(0x7f800000u))) {
    atomicMax(&counters[DIVERGED], divergence_mark(step.number));
  }
}
