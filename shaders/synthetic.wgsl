// Samples of the synthetic ground-truth generator (gpu/data/synthetic.ts): x = a·D + b.
//
//   draw_factors  u[row, r]  ~ N(0, 1): the hidden causes by which features correlate
//   draw          a[row, i]  = ReLU(mean_i + deviation_i·N(0, 1)) where feature i fires, else 0
//   gate          a[row, i]  silenced by silent ancestors and by siblings that won, scaled by parents
//   embed         x[row, j]  = b_j + Σ_i a[row, i]·D[i, j]
//
// Every random word is pcg4d(token, feature, stream), so a value depends on nothing but its own place.
// Invocations are few and long (32 features, 16 columns), because software adapters pay for each one.

struct Batch {
  token_lo: u32,
  token_hi: u32,
  key: u32,
  rows: u32,
  n_features: u32,
  rank: u32,
  d_in: u32,
}

struct Feature {
  // Fires where a random word is below this; used without correlation, exact in integers.
  fire_below: u32,
  // Fires where L·u + residual·N(0, 1) is above this; used with correlation.
  threshold: f32,
  residual: f32,
  mean: f32,
  deviation: f32,
  // NO_PARENT for features outside the hierarchy and for its roots.
  parent: u32,
  first_sibling: u32,
  n_siblings: u32,
}

const WORKGROUP = 64u;
const NO_PARENT = 0xffffffffu;
const FACTOR_SERIES = 0x80000000u;
const TWO_TO_MINUS_32 = 2.3283064365386963e-10;

@group(0) @binding(0) var<uniform> batch: Batch;
@group(0) @binding(1) var<storage, read> features: array<Feature>;
// L [n_features, rank], rank rounded up to fours with zeros.
@group(0) @binding(2) var<storage, read> loadings: array<vec4f>;
// u [rows, rank], in the same fours.
@group(0) @binding(3) var<storage, read_write> factors: array<f32>;
@group(0) @binding(10) var<storage, read> causes: array<vec4f>;
// a before the hierarchy, [rows, n_features].
@group(0) @binding(4) var<storage, read_write> drawn: array<f32>;
// a, [rows, n_features].
@group(0) @binding(5) var<storage, read_write> gated: array<f32>;
// Which features fire, a bit each, [rows, ceil(n_features / 32)]: of `drawn`, and after `gate` of `gated`.
@group(0) @binding(6) var<storage, read_write> firing: array<u32>;
@group(0) @binding(7) var<storage, read> activations: array<f32>;
// b, then D, columns rounded up to a multiple of 16.
@group(0) @binding(8) var<storage, read> dictionary: array<vec4f>;
@group(0) @binding(9) var<storage, read_write> samples: array<f32>;

// Jarzynski and Olano, JCGT 9(3), 2020.
fn pcg4d(counters: vec4u) -> vec4u {
  var v = counters * 1664525u + 1013904223u;
  v.x += v.y * v.w;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  v.w += v.y * v.z;
  v ^= v >> vec4u(16u);
  v.x += v.y * v.w;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  v.w += v.y * v.z;
  return v;
}

fn random(row: u32, series: u32) -> vec4u {
  let lo = batch.token_lo + row;
  let hi = batch.token_hi + select(0u, 1u, lo < batch.token_lo);
  return pcg4d(vec4u(lo, hi, series, batch.key));
}

// Chance that a normal number's size and sign are beyond those that the bits stand for, sign aside; at most 1/2.
fn upper_tail(bits: u32) -> f32 {
  return (f32(bits & 0x7fffffffu) + 0.5) * TWO_TO_MINUS_32;
}

// Inverse normal distribution, AS 241 PPND7 (Wichura 1988); the top bit is the sign, the rest the tail probability.
// An own polynomial, because the precision of cos() that Box-Muller needs differs from adapter to adapter.
fn normal(bits: u32) -> f32 {
  let tail = upper_tail(bits);
  let q = 0.5 - tail;
  var magnitude: f32;
  if (q <= 0.425) {
    let r = 0.180625 - q * q;
    magnitude = q * (((59.10937472 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179)
      / (((67.1875636 * r + 78.757757664) * r + 17.895169469) * r + 1.0);
  } else {
    let r = sqrt(-log(tail)) - 1.6;
    magnitude = (((0.17023821103 * r + 1.3067284816) * r + 2.75681539) * r + 1.4234372777)
      / ((0.12021132975 * r + 0.7370016425) * r + 1.0);
  }
  return select(magnitude, -magnitude, (bits >> 31u) == 1u);
}

// Number of this invocation in a grid whose workgroups are spread over x and y.
fn flat_index(group: vec3u, groups: vec3u, lane: u32) -> u32 {
  return (group.y * groups.x + group.x) * WORKGROUP + lane;
}

@compute @workgroup_size(WORKGROUP)
fn draw_factors(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = flat_index(group, groups, lane);
  if (index >= batch.rows * batch.rank) {
    return;
  }
  let row = index / batch.rank;
  let cause = index % batch.rank;
  factors[row * 4u * rank_quads() + cause] = normal(random(row, FACTOR_SERIES | cause).x);
}

fn magnitude(feature: Feature, bits: u32) -> f32 {
  return max(0.0, feature.mean + feature.deviation * normal(bits));
}

@compute @workgroup_size(WORKGROUP)
fn draw(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let words = (batch.n_features + 31u) / 32u;
  let index = flat_index(group, groups, lane);
  if (index >= batch.rows * words) {
    return;
  }
  let row = index / words;
  let first = (index % words) * 32u;
  let count = min(32u, batch.n_features - first);
  var fires = 0u;
  for (var bit = 0u; bit < count; bit++) {
    let i = first + bit;
    let random_words = random(row, i);
    @if(correlated)
    let on = passes(row, i, random_words.x);
    @if(!correlated)
    let on = random_words.x < features[i].fire_below;
    var a = 0.0;
    if (on) {
      a = magnitude(features[i], random_words.y);
      fires |= select(0u, 1u << bit, a > 0.0);
    }
    drawn[row * batch.n_features + i] = a;
  }
  firing[index] = fires;
}

fn rank_quads() -> u32 {
  return (batch.rank + 3u) / 4u;
}

// Whether the feature's Gaussian, its share of the hidden causes and its own part, is above its threshold.
@if(correlated)
fn passes(row: u32, i: u32, bits: u32) -> bool {
  var shared_part = 0.0;
  for (var r = 0u; r < rank_quads(); r++) {
    shared_part += dot(loadings[i * rank_quads() + r], causes[row * rank_quads() + r]);
  }
  let own = features[i].residual;
  let needed = (features[i].threshold - shared_part) / own;
  // P(X > x) <= exp(-x²/2)/2 for x >= 0 settles most draws without their quantile.
  if (needed > 0.0 && (bits >= 0x80000000u || upper_tail(bits) > 0.501 * exp(-0.5 * needed * needed))) {
    return false;
  }
  return shared_part + own * normal(bits) > features[i].threshold;
}

// Of the siblings that fire, the one with the largest random word stays; the first of equals.
@if(exclusive)
fn wins(row: u32, i: u32) -> bool {
  let first = features[i].first_sibling;
  let own = random(row, i).z;
  for (var sibling = first; sibling < first + features[i].n_siblings; sibling++) {
    if (sibling != i && drawn[row * batch.n_features + sibling] > 0.0) {
      let other = random(row, sibling).z;
      if (other > own || (other == own && sibling < i)) {
        return false;
      }
    }
  }
  return true;
}

@compute @workgroup_size(WORKGROUP)
fn gate(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let words = (batch.n_features + 31u) / 32u;
  let index = flat_index(group, groups, lane);
  if (index >= batch.rows * words) {
    return;
  }
  let row = index / words;
  let first = (index % words) * 32u;
  let count = min(32u, batch.n_features - first);
  let fires = firing[index];
  var left = 0u;
  for (var bit = 0u; bit < count; bit++) {
    var a = 0.0;
    if (((fires >> bit) & 1u) != 0u && has_ancestors(row, first + bit)) {
      a = surviving(row, first + bit);
      left |= select(0u, 1u << bit, a > 0.0);
    }
    gated[row * batch.n_features + first + bit] = a;
  }
  firing[index] = left;
}

// Whether every ancestor was drawn. Most children are, and most of their roots are not, so this settles most of them.
fn has_ancestors(row: u32, feature: u32) -> bool {
  for (var i = features[feature].parent; i != NO_PARENT; i = features[i].parent) {
    if (drawn[row * batch.n_features + i] <= 0.0) {
      return false;
    }
  }
  return true;
}

// What siblings and parents leave of a feature whose ancestors were drawn.
fn surviving(row: u32, feature: u32) -> f32 {
  var i = feature;
  var a = drawn[row * batch.n_features + i];
  while (features[i].parent != NO_PARENT) {
    @if(exclusive) {
      if (!wins(row, i)) {
        return 0.0;
      }
    }
    let parent = features[i].parent;
    @if(scaled) {
      a *= drawn[row * batch.n_features + parent] / features[parent].mean;
    }
    i = parent;
  }
  return a;
}

@compute @workgroup_size(WORKGROUP)
fn embed(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let chunks = (batch.d_in + 15u) / 16u;
  let index = flat_index(group, groups, lane);
  if (index >= batch.rows * chunks) {
    return;
  }
  let row = index / chunks;
  let chunk = 4u * (index % chunks);
  var x = array<vec4f, 4>(
    dictionary[chunk],
    dictionary[chunk + 1u],
    dictionary[chunk + 2u],
    dictionary[chunk + 3u],
  );
  let words = (batch.n_features + 31u) / 32u;
  for (var word = 0u; word < words; word++) {
    var fires = firing[row * words + word];
    while (fires != 0u) {
      let i = 32u * word + firstTrailingBit(fires);
      fires &= fires - 1u;
      let a = activations[row * batch.n_features + i];
      let feature = (1u + i) * 4u * chunks + chunk;
      x[0] += a * dictionary[feature];
      x[1] += a * dictionary[feature + 1u];
      x[2] += a * dictionary[feature + 2u];
      x[3] += a * dictionary[feature + 3u];
    }
  }
  let column = 4u * chunk;
  let count = min(16u, batch.d_in - column);
  for (var c = 0u; c < count; c++) {
    samples[row * batch.d_in + column + c] = x[c / 4u][c % 4u];
  }
}
