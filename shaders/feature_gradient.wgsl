// The whole backward pass of one feature, one workgroup a feature: over the tokens where it is active it takes the dot
// product of W_dec[f] with the token's error, makes of it the gradient dz at the pre-activation, and adds up
//   gW_dec[f] = 2/B · Σ value · error[token] (+ the penalty's pull on the norm)     gW_enc[f] = Σ dz · x[token]
// the gradients of the feature's own parameters, and the square of their joint norm. The formulas of each architecture
// stand in gpu/sae/. `unit_decoder`: the part of gW_dec along W_dec[f] is removed.
//
// Entries are collected from the bits, tokens ascending, eight at a time: the order of every sum is fixed.
// `lockstep`: the workgroup is one subgroup, and each of its lanes keeps all entries for itself, so that nobody waits at
// a barrier. On a CPU adapter that took this kernel from 278 to 41 ms (96 → 256, 24 features a token, 1,024 tokens). The
// lanes still judge apart and tell each other: with `quad`, a subgroup of four, two entries each.
import constants::WORKGROUP;
import package::control::Control;
import package::grid::group_number;
@if(half) import package::half::from_half;
import package::reduce::workgroup_sum;
import package::step::Step;

@if(lockstep) enable subgroups;

struct Shape {
  d_sae: u32,
  stride_in: u32,
  stride_out: u32,
  // Floats from one row of `sums`, and one parameter of the features, to the next.
  feature_stride: u32,
  // vec4f of a region of errors, words of a plane of bits.
  region_size: u32,
  plane: u32,
  // Nested dictionaries; AuxK's, its first region and first plane.
  levels: u32,
  aux_levels: u32,
  aux_region: u32,
  aux_plane: u32,
  // Parameters per feature: rows of `sums` before the square norms.
  parameters: u32,
  // Hook points that a penalty takes the norm of one by one.
  points: u32,
  // The penalty: p of the norm, c of tanh, ε, λ_P, and target_l0.
  lp_norm: f32,
  tanh_scale: f32,
  bandwidth: f32,
  pre_act: f32,
  target_l0: f32,
  pad0: u32,
  pad1: u32,
  pad2: u32,
  widths: array<vec4u, 4>,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@if(half) @group(0) @binding(2) var<storage, read> x: array<vec2u>;
@if(!half) @group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> errors: array<vec4f>;
@group(0) @binding(4) var<storage, read> words: array<u32>;
@group(0) @binding(5) var<storage, read> z: array<f32>;
@group(0) @binding(6) var<storage, read> W_dec: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> gW_enc: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> gW_dec: array<vec4f>;
// Rows of d_sae: gradients of the feature's parameters, then its square norm, its share of the sparsity loss and of the
// auxiliary loss (both without coefficient and 1/B), and Σ dz where that is no parameter's gradient (gated).
@group(0) @binding(9) var<storage, read_write> sums: array<f32>;
@group(0) @binding(10) var<storage, read> control: Control;
@if(gated || jumprelu) @group(0) @binding(11) var<storage, read> parameters: array<f32>;

const ENTRIES = 8u;

// What an entry is: of the main activation, of the gate (gated), or of AuxK.
const MAIN = 0u;
const GATE = 1u;
const AUX = 2u;

@if(!lockstep) var<workgroup> entry_token: array<u32, ENTRIES>;
@if(lockstep) var<private> entry_token: array<u32, ENTRIES>;
@if(!lockstep) var<workgroup> entry_kind: array<u32, ENTRIES>;
@if(lockstep) var<private> entry_kind: array<u32, ENTRIES>;
// First vec4f of the error row.
@if(!lockstep) var<workgroup> entry_error: array<u32, ENTRIES>;
@if(lockstep) var<private> entry_error: array<u32, ENTRIES>;
// Made of an entry: dz, and the factor of its error row in gW_dec.
@if(!lockstep) var<workgroup> verdicts: array<vec2f, ENTRIES>;
@if(!lockstep) var<workgroup> partials: array<vec4f, 2 * WORKGROUP>;

// Of the feature, the same in every lane.
var<private> feature: u32;
var<private> penalty_norm: f32;
// Sums over the entries this lane has judged.
var<private> sum_dz: f32;
var<private> sum_norm: f32;
var<private> sum_sparsity: f32;
var<private> sum_aux: f32;
@if(gated || jumprelu) var<private> sum_second: f32;
@if(gated) var<private> sum_third: f32;
@if(gated) var<private> sum_gate: f32;

fn x_at(i: u32) -> vec4f {
  @if(half) {
    return from_half(x[i]);
  }
  @else {
    return x[i];
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let f = group_number(group, groups);
  if (f >= shape.d_sae) {
    return;
  }
  feature = f;
  // Entries collected since the last flush, and whether there has been one.
  var collected = 0u;
  var flushed = false;
  let tiles = (step.rows + 31u) / 32u;
  let own = f * shape.stride_out;
  let per_point = shape.stride_out / shape.points;

  @if(penalized) {
    for (var m = 0u; m < shape.points; m++) {
      penalty_norm += point_norm(own + m * per_point, per_point, lane);
    }
  }

  var region = 0u;
  @if(nested) {
    var level = 0u;
    while (f >= shape.widths[level / 4u][level % 4u]) {
      level++;
    }
    region = shape.levels - 1u - level;
  }

  @if(jumprelu) let dead = shape.pre_act > 0.0 && ((control.tail[f / 32u] >> (f % 32u)) & 1u) == 1u;
  // The main activations, then the gate's, or what only lies in JumpReLU's windows, then AuxK's, level by level: one
  // walk, so that what an entry costs in code is there once.
  var walks = 1u;
  @if(gated || jumprelu) {
    walks = 2u;
  }
  @if(aux) {
    walks = 1u + select(0u, shape.aux_levels, control.n_dead > 0u);
  }
  for (var walk = 0u; walk < walks; walk++) {
    for (var tile = 0u; tile < tiles; tile++) {
      let own_word = tile * shape.d_sae + f;
      var kind = MAIN;
      var fired = words[own_word];
      var bits = fired;
      @if(multi) {
        bits |= words[shape.plane + own_word];
      }
      @if(jumprelu) {
        if (walk > 0u) {
          // Apart from the active ones, so that most flushes have nothing to add to the weights.
          bits = words[shape.plane + own_word] & ~fired;
          if (dead) {
            bits = ~fired & select(0xffffffffu, (1u << (step.rows % 32u)) - 1u, tile * 32u + 32u > step.rows);
          }
        }
      }
      @if(gated) {
        if (walk > 0u) {
          kind = GATE;
          region = 1u;
          bits = words[shape.plane + own_word];
        }
      }
      @if(aux) {
        if (walk > 0u) {
          kind = AUX;
          region = shape.aux_region + walk - 1u;
          bits = words[(shape.aux_plane + walk - 1u) * shape.plane + own_word];
        }
      }
      let ends = walk + 1u == walks && tile + 1u == tiles;
      loop {
        if (bits != 0u) {
          let bit = firstTrailingBit(bits);
          bits &= bits - 1u;
          @if(multi) {
            if (walk == 0u) {
              region = select(2u, 1u, ((fired >> bit) & 1u) == 1u);
            }
          }
          @if(!lockstep) let writes = lane == 0u;
          @if(lockstep) let writes = true;
          if (writes) {
            let token = tile * 32u + bit;
            entry_token[collected] = token;
            entry_kind[collected] = kind;
            entry_error[collected] = region * shape.region_size + token * shape.stride_out;
          }
          collected++;
        }
        // The last entries, and none at all: then the gradients are written as zeros.
        let last = ends && bits == 0u && (collected > 0u || !flushed);
        if (collected == ENTRIES || last) {
          flush(lane, collected, flushed);
          flushed = true;
          collected = 0u;
        }
        if (bits == 0u) {
          break;
        }
      }
    }
  }

  @if(penalized) {
    // A hook point need not begin at the first lane, so lanes meet each other's columns here.
    storageBarrier();
    let pull = workgroup_sum(sum_norm, lane);
    for (var m = 0u; m < shape.points; m++) {
      let at = own + m * per_point;
      let norm = point_norm(at, per_point, lane);
      // A row of zeros has no direction to be pulled in.
      let factor = select(0.0, pull / norm, norm > 0.0);
      for (var c = lane; c < per_point; c += u32(WORKGROUP)) {
        gW_dec[at + c] += factor * W_dec[at + c];
      }
    }
    storageBarrier();
  }

  var square = 0.0;
  @if(unit_decoder) {
    var along = 0.0;
    for (var c = lane; c < shape.stride_out; c += u32(WORKGROUP)) {
      along += dot(gW_dec[own + c], W_dec[own + c]);
    }
    along = workgroup_sum(along, lane);
    for (var c = lane; c < shape.stride_out; c += u32(WORKGROUP)) {
      gW_dec[own + c] -= along * W_dec[own + c];
    }
  }
  for (var c = lane; c < shape.stride_out; c += u32(WORKGROUP)) {
    let dec = gW_dec[own + c];
    square += dot(dec, dec);
  }
  for (var c = lane; c < shape.stride_in; c += u32(WORKGROUP)) {
    let enc = gW_enc[f * shape.stride_in + c];
    square += dot(enc, enc);
  }
  square = workgroup_sum(square, lane);
  let dz = workgroup_sum(sum_dz, lane);
  @if(gated || jumprelu) let second = workgroup_sum(sum_second, lane);
  @if(gated) let third = workgroup_sum(sum_third, lane);
  @if(gated) let gate = workgroup_sum(sum_gate, lane);
  let sparsity = workgroup_sum(sum_sparsity, lane);
  let auxiliary = workgroup_sum(sum_aux, lane);
  if (lane == 0u) {
    let s = shape.feature_stride;
    @if(gated) {
      sums[f] = gate;
      sums[s + f] = second;
      sums[2u * s + f] = third;
      square += gate * gate + second * second + third * third;
    }
    @if(jumprelu) {
      sums[f] = dz;
      sums[s + f] = second;
      square += dz * dz + second * second;
    }
    @if(!gated && !jumprelu) {
      sums[f] = dz;
      square += dz * dz;
    }
    let rest = shape.parameters * s + f;
    sums[rest] = square;
    sums[rest + s] = sparsity;
    sums[rest + 2u * s] = auxiliary;
    @if(gated) {
      sums[rest + 3u * s] = dz;
    }
  }
}

fn point_norm(first: u32, count: u32, lane: u32) -> f32 {
  var square = 0.0;
  for (var c = lane; c < count; c += u32(WORKGROUP)) {
    let w = W_dec[first + c];
    square += dot(w, w);
  }
  return sqrt(workgroup_sum(square, lane));
}

// Judges n collected entries and adds them to the gradients, or writes those anew at the first time. All eight places
// are summed, those beyond n with weight zero: loops over the places cost a CPU adapter twice the time.
fn flush(lane: u32, n: u32, add: bool) {
  let own = feature * shape.stride_out;
  let scale = 2.0 / f32(step.rows);
  meet();
  let last = n - select(0u, 1u, n > 0u);
  let e = vec4u(entry_error[0], entry_error[min(1u, last)], entry_error[min(2u, last)], entry_error[min(3u, last)]);
  let h = vec4u(
    entry_error[min(4u, last)],
    entry_error[min(5u, last)],
    entry_error[min(6u, last)],
    entry_error[min(7u, last)],
  );
  var low = vec4f();
  var high = vec4f();
  for (var c = lane; c < shape.stride_out; c += u32(WORKGROUP)) {
    let w = W_dec[own + c];
    low += vec4f(dot(w, errors[e.x + c]), dot(w, errors[e.y + c]), dot(w, errors[e.z + c]), dot(w, errors[e.w + c]));
    high += vec4f(dot(w, errors[h.x + c]), dot(w, errors[h.y + c]), dot(w, errors[h.z + c]), dot(w, errors[h.w + c]));
  }
  // Of the eight entries dz, and the factors of their error rows.
  var d0 = vec4f();
  var d1 = vec4f();
  var v0 = vec4f();
  var v1 = vec4f();
  @if(lockstep) {
    low = scale * subgroupAdd(low);
    high = scale * subgroupAdd(high);
    let a = judged(lane, n, select(high[lane & 3u], low[lane & 3u], lane < 4u));
    d0 = first_four(a.x);
    v0 = first_four(a.y);
    @if(quad) {
      let b = judged(lane + 4u, n, high[lane]);
      d1 = first_four(b.x);
      v1 = first_four(b.y);
    }
    @if(!quad) {
      d1 = second_four(a.x);
      v1 = second_four(a.y);
    }
  }
  @if(!lockstep) {
    partials[2u * lane] = low;
    partials[2u * lane + 1u] = high;
    workgroupBarrier();
    for (var j = lane; j < ENTRIES; j += u32(WORKGROUP)) {
      var product = 0.0;
      for (var i = 0u; i < u32(WORKGROUP); i++) {
        product += partials[2u * i + j / 4u][j % 4u];
      }
      verdicts[j] = judged(j, n, scale * product);
    }
    workgroupBarrier();
    d0 = vec4f(verdicts[0].x, verdicts[1].x, verdicts[2].x, verdicts[3].x);
    v0 = vec4f(verdicts[0].y, verdicts[1].y, verdicts[2].y, verdicts[3].y);
    d1 = vec4f(verdicts[4].x, verdicts[5].x, verdicts[6].x, verdicts[7].x);
    v1 = vec4f(verdicts[4].y, verdicts[5].y, verdicts[6].y, verdicts[7].y);
  }
  @if(jumprelu) {
    // Entries that only lie in a window move nothing but the threshold.
    if (!add || any(d0 != vec4f()) || any(v0 != vec4f()) || any(d1 != vec4f()) || any(v1 != vec4f())) {
      accumulate_decoder(lane, e, h, v0, v1, add);
      accumulate_encoder(lane, last, d0, d1, add);
    }
  }
  @else {
    accumulate_decoder(lane, e, h, v0, v1, add);
    accumulate_encoder(lane, last, d0, d1, add);
  }
  // The entries may be overwritten now.
  meet();
}

// A value of each of the first four lanes, in every lane.
@if(lockstep)
fn first_four(value: f32) -> vec4f {
  return vec4f(
    subgroupBroadcast(value, 0u),
    subgroupBroadcast(value, 1u),
    subgroupBroadcast(value, 2u),
    subgroupBroadcast(value, 3u),
  );
}

@if(lockstep && !quad)
fn second_four(value: f32) -> vec4f {
  return vec4f(
    subgroupBroadcast(value, 4u),
    subgroupBroadcast(value, 5u),
    subgroupBroadcast(value, 6u),
    subgroupBroadcast(value, 7u),
  );
}

// Adds the judged entries, whose error rows begin at e and h, to W_dec's gradient, or writes it anew.
fn accumulate_decoder(lane: u32, e: vec4u, h: vec4u, v0: vec4f, v1: vec4f, add: bool) {
  let own = feature * shape.stride_out;
  for (var c = lane; c < shape.stride_out; c += u32(WORKGROUP)) {
    var dec = vec4f();
    if (add) {
      dec = gW_dec[own + c];
    }
    dec += v0.x * errors[e.x + c] + v0.y * errors[e.y + c] + v0.z * errors[e.z + c] + v0.w * errors[e.w + c];
    dec += v1.x * errors[h.x + c] + v1.y * errors[h.y + c] + v1.z * errors[h.z + c] + v1.w * errors[h.w + c];
    gW_dec[own + c] = dec;
  }
}

// The same with the inputs for W_enc's.
fn accumulate_encoder(lane: u32, last: u32, d0: vec4f, d1: vec4f, add: bool) {
  let s = shape.stride_in;
  let t = s * vec4u(entry_token[0], entry_token[min(1u, last)], entry_token[min(2u, last)], entry_token[min(3u, last)]);
  let u = s * vec4u(
    entry_token[min(4u, last)],
    entry_token[min(5u, last)],
    entry_token[min(6u, last)],
    entry_token[min(7u, last)],
  );
  for (var c = lane; c < s; c += u32(WORKGROUP)) {
    var enc = vec4f();
    if (add) {
      enc = gW_enc[feature * s + c];
    }
    enc += d0.x * x_at(t.x + c) + d0.y * x_at(t.y + c) + d0.z * x_at(t.z + c) + d0.w * x_at(t.w + c);
    enc += d1.x * x_at(u.x + c) + d1.y * x_at(u.y + c) + d1.z * x_at(u.z + c) + d1.w * x_at(u.w + c);
    gW_enc[feature * s + c] = enc;
  }
}

fn meet() {
  @if(!lockstep) {
    workgroupBarrier();
  }
}

// dz of entry j of n, and the factor of its error row in gW_dec; zeros beyond n.
fn judged(j: u32, n: u32, slope: f32) -> vec2f {
  if (j >= n) {
    return vec2f();
  }
  return judge(j, slope);
}

// From the gradient along W_dec at an active feature to the gradient at its pre-activation and its parameters.
fn judge(j: u32, slope: f32) -> vec2f {
  let kind = entry_kind[j];
  let token = entry_token[j];
  let raw = z[token * shape.d_sae + feature];
  let share = control.coefficient / f32(step.rows);
  var value = max(raw, 0.0);
  var dz = slope;
  if (kind == AUX) {
    value = raw;
  } else {
    @if(standard) {
      var steepness = 1.0;
      @if(lp) {
        let norm = bitcast<f32>(control.tail[(shape.d_sae + 31u) / 32u + token]);
        steepness = select(0.0, pow(raw * penalty_norm / norm, shape.lp_norm - 1.0), norm > 0.0);
      }
      dz += share * steepness * penalty_norm;
      sum_norm += share * steepness * raw;
      sum_sparsity += steepness * raw * penalty_norm;
    }
    @if(gated) {
      let gain = exp(parameters[2u * shape.feature_stride + feature]);
      if (kind == GATE) {
        let gate = raw + parameters[feature];
        value = 0.0;
        dz += share * penalty_norm;
        sum_gate += dz;
        sum_norm += share * gate;
        sum_sparsity += gate * penalty_norm;
      } else {
        value = raw * gain + parameters[shape.feature_stride + feature];
        sum_second += slope;
        sum_third += slope * raw * gain;
        dz = slope * gain;
      }
    }
    @if(jumprelu) {
      let theta = parameters[shape.feature_stride + feature];
      let above = raw > theta;
      value = select(0.0, raw, above);
      let kernel = select(0.0, 1.0 / shape.bandwidth, abs(raw - theta) < 0.5 * shape.bandwidth);
      var df = slope;
      @if(tanh_penalty) {
        let squashed = tanh(min(shape.tanh_scale * value * penalty_norm, 10.0));
        let steepness = share * shape.tanh_scale * (1.0 - squashed * squashed);
        df += steepness * penalty_norm;
        sum_norm += steepness * value;
        sum_sparsity += squashed;
      }
      sum_second -= theta * kernel * df;
      @if(step_penalty) {
        sum_second -= share * kernel;
        sum_sparsity += select(0.0, 1.0, above);
      }
      @if(quadratic_penalty) {
        let l0 = f32(control.n_active) / f32(step.rows);
        sum_second -= 2.0 * share * (l0 / shape.target_l0 - 1.0) / shape.target_l0 * kernel;
      }
      dz = select(0.0, df, above);
      let dead = ((control.tail[feature / 32u] >> (feature % 32u)) & 1u) == 1u;
      if (shape.pre_act > 0.0 && dead && raw < theta) {
        let pull = shape.pre_act / f32(step.rows);
        dz -= pull * penalty_norm;
        sum_second += pull * penalty_norm;
        sum_norm += pull * (theta - raw);
        sum_aux += (theta - raw) * penalty_norm;
      }
    }
  }
  sum_dz += dz;
  return vec2f(dz, 2.0 / f32(step.rows) * value);
}
