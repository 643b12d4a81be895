// The k largest pre-activations of each token, exactly, in order of their feature; ties go to the lower feature.
// One workgroup a token: a radix select over integer depths, where a candidate's depth is how far its order-preserving
// key lies below the row's largest, so the winners are the k smallest. The first histogram covers depths of a factor
// 16 in value, mostly few candidates and all winners; it is coarsened while it holds too few, then refined by 8 bits a
// pass until a bucket holds just what is missing. One pass then counts and one writes in feature order.
// With `aux`, the candidates are the dead features, and those below zero count as active too. With `rescaled`,
// features are ranked by z · ‖W_dec[f]‖.
import constants::WORKGROUP;
@if(aux) import package::control::Control;
import package::grid::group_number;
import package::step::Step;

struct Shape {
  d_sae: u32,
  // Room per token in the lists.
  capacity: u32,
  // Selects so many times the step's k, d_sae at most.
  factor: u32,
  // First word of the plane of bits.
  plane: u32,
  // AuxK's nested dictionary.
  level: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> z: array<f32>;
@group(0) @binding(3) var<storage, read_write> indices: array<u32>;
// Bit t % 32 of word [t / 32, f]: feature f is active at token t.
@group(0) @binding(4) var<storage, read_write> words: array<atomic<u32>>;
@if(aux) @group(0) @binding(5) var<storage, read> dead: array<u32>;
@if(aux) @group(0) @binding(6) var<storage, read> control: Control;
@if(!aux) @group(0) @binding(5) var<storage, read_write> list_counts: array<u32>;
@if(rescaled) @group(0) @binding(7) var<storage, read> norms: array<f32>;

// Shift of the first histogram's digit: 256 buckets of 2^17 keys are four powers of two.
const FIRST_SHIFT = 17u;
const COARSER = 3u;

struct Pick {
  // Bucket of the k-th smallest depth; 256 where the histogram holds fewer than k.
  digit: u32,
  // How many of the bucket are selected, and how many it holds.
  wanted: u32,
  found: u32,
}

var<workgroup> histogram: array<atomic<u32>, 256>;
var<workgroup> pick: Pick;
var<workgroup> largest: array<u32, WORKGROUP>;
// Per lane: candidates above the threshold, and candidates at it.
var<workgroup> counts: array<vec2u, WORKGROUP>;

fn feature_of(candidate: u32) -> u32 {
  @if(aux) {
    return dead[candidate];
  }
  @else {
    return candidate;
  }
}

fn key_at(base: u32, f: u32) -> u32 {
  @if(rescaled) {
    return key_of(z[base + f] * norms[f]);
  }
  @else {
    return key_of(z[base + f]);
  }
}

// Rises with the value; negative values are turned round.
fn key_of(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  return bits ^ (select(0u, 0xffffffffu, (bits >> 31u) == 1u) | 0x80000000u);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let token = group_number(group, groups);
  if (token >= step.rows) {
    return;
  }
  let base = token * shape.d_sae;
  @if(aux) let candidates = control.aux[shape.level].n_dead;
  @if(!aux) let candidates = shape.d_sae;
  @if(aux) let k = control.aux[shape.level].k;
  @if(!aux) let k = min(shape.factor * step.k, shape.d_sae);
  if (k == 0u) {
    return;
  }

  var top = 0u;
  for (var i = lane; i < candidates; i += u32(WORKGROUP)) {
    top = max(top, key_at(base, feature_of(i)));
  }
  largest[lane] = top;
  workgroupBarrier();
  for (var i = 0u; i < u32(WORKGROUP); i++) {
    top = max(top, largest[i]);
  }

  // Depths in play are those that equal prefix in the bits of mask.
  var shift = FIRST_SHIFT;
  var mask = bits_from(shift + 8u);
  var prefix = 0u;
  var wanted = k;
  loop {
    for (var digit = lane; digit < 256u; digit += u32(WORKGROUP)) {
      atomicStore(&histogram[digit], 0u);
    }
    workgroupBarrier();
    for (var i = lane; i < candidates; i += u32(WORKGROUP)) {
      let depth = top - key_at(base, feature_of(i));
      if ((depth & mask) == prefix) {
        atomicAdd(&histogram[(depth >> shift) & 255u], 1u);
      }
    }
    workgroupBarrier();
    if (lane == 0u) {
      var digit = 0u;
      var left = wanted;
      var found = atomicLoad(&histogram[0]);
      while (found < left) {
        left -= found;
        digit++;
        if (digit == 256u) {
          break;
        }
        found = atomicLoad(&histogram[digit]);
      }
      pick = Pick(digit, left, found);
    }
    let picked = workgroupUniformLoad(&pick);
    if (picked.digit == 256u) {
      // Only before anything was picked: later the bucket in play is known to hold enough.
      shift = min(shift + COARSER, 24u);
      mask = bits_from(shift + 8u);
      continue;
    }
    prefix |= picked.digit << shift;
    mask = bits_from(shift);
    wanted = picked.wanted;
    if (picked.found == wanted || shift == 0u) {
      break;
    }
    shift -= min(shift, 8u);
  }

  let share = (candidates + u32(WORKGROUP) - 1u) / u32(WORKGROUP);
  let begin = min(lane * share, candidates);
  let end = min(begin + share, candidates);
  var count = vec2u();
  for (var i = begin; i < end; i++) {
    let depth = (top - key_at(base, feature_of(i))) & mask;
    count += vec2u(select(0u, 1u, depth < prefix), select(0u, 1u, depth == prefix));
  }
  counts[lane] = count;
  workgroupBarrier();
  var above = 0u;
  var tied = 0u;
  for (var i = 0u; i < lane; i++) {
    above += counts[i].x;
    tied += counts[i].y;
  }
  let slots = token * shape.capacity;
  for (var i = begin; i < end; i++) {
    let f = feature_of(i);
    let depth = (top - key_at(base, f)) & mask;
    if (depth < prefix || (depth == prefix && tied < wanted)) {
      indices[slots + above + min(tied, wanted)] = f;
    }
    above += select(0u, 1u, depth < prefix);
    tied += select(0u, 1u, depth == prefix);
  }

  // The rest by slot, not by candidate: a CPU adapter runs a branch's code for every candidate, taken or not.
  storageBarrier();
  for (var j = lane; j < k; j += u32(WORKGROUP)) {
    let f = indices[slots + j];
    @if(aux) {
      activate(token, f);
    }
    @if(!aux) {
      if (z[base + f] > 0.0) {
        activate(token, f);
      }
    }
  }
  @if(!aux) {
    if (lane == 0u) {
      list_counts[token] = k;
    }
  }
}

// All bits from this one up.
fn bits_from(bit: u32) -> u32 {
  if (bit >= 32u) {
    return 0u;
  }
  return 0xffffffffu << bit;
}

fn activate(token: u32, f: u32) {
  atomicOr(&words[shape.plane + (token / 32u) * shape.d_sae + f], 1u << (token % 32u));
}
