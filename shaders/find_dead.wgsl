// Begins a step: lists the dead features in ascending order, marks them as bits, switches the AuxK dispatches on or off,
// and sets what steers the step. One workgroup: each lane owns a contiguous range of features, a multiple of 32, so
// that the list comes out sorted and no word of bits has two owners.
import constants::WORKGROUP;
import package::control::Control;
import package::step::Step;

struct Shape {
  d_sae: u32,
  // Dead: more tokens than this since the feature last fired.
  window: u32,
  // Nominal k_aux; 0 when AuxK is off.
  k_aux: u32,
  coefficient: f32,
  // u32 words of the grids, three a dispatch.
  grid_words: u32,
  // Nested dictionaries that AuxK serves, each by itself.
  levels: u32,
  pad0: u32,
  pad1: u32,
  widths: array<vec4u, 4>,
}

struct Steering {
  threshold_mean: f32,
  log_l0: f32,
  log_multiplier: f32,
  pad: f32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> tokens_since_fired: array<u32>;
@group(0) @binding(3) var<storage, read_write> dead: array<u32>;
@group(0) @binding(4) var<storage, read_write> control: Control;
@group(0) @binding(5) var<storage, read> planned_grids: array<u32>;
@group(0) @binding(6) var<storage, read_write> grids: array<u32>;
@group(0) @binding(7) var<storage, read> steering: Steering;

var<workgroup> counts: array<u32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
  let words = (shape.d_sae + 31u) / 32u;
  let share = (words + u32(WORKGROUP) - 1u) / u32(WORKGROUP) * 32u;
  let begin = min(lane * share, shape.d_sae);
  let end = min(begin + share, shape.d_sae);
  var count = 0u;
  for (var f = begin; f < end; f++) {
    count += select(0u, 1u, tokens_since_fired[f] > shape.window);
  }
  counts[lane] = count;
  workgroupBarrier();
  var position = 0u;
  var n_dead = 0u;
  for (var i = 0u; i < u32(WORKGROUP); i++) {
    if (i == lane) {
      position = n_dead;
    }
    n_dead += counts[i];
  }
  var bits = 0u;
  for (var f = begin; f < end; f++) {
    if (tokens_since_fired[f] > shape.window) {
      dead[position] = f;
      position++;
      bits |= 1u << (f % 32u);
    }
    if (f % 32u == 31u || f + 1u == end) {
      control.tail[f / 32u] = bits;
      bits = 0u;
    }
  }
  for (var i = lane; i < shape.grid_words; i += u32(WORKGROUP)) {
    grids[i] = select(0u, planned_grids[i], n_dead > 0u);
  }
  // The list is ascending, so the dead features of a nested dictionary are its first ones.
  storageBarrier();
  for (var level = lane; level < shape.levels; level += u32(WORKGROUP)) {
    let width = shape.widths[level / 4u][level % 4u];
    var below = 0u;
    var above = n_dead;
    while (below < above) {
      let middle = (below + above) / 2u;
      if (dead[middle] < width) {
        below = middle + 1u;
      } else {
        above = middle;
      }
    }
    control.aux[level].n_dead = below;
    control.aux[level].k = min(shape.k_aux, below);
    control.aux[level].scale = 0.0;
    if (below > 0u && shape.k_aux > 0u) {
      control.aux[level].scale = shape.coefficient * min(f32(below) / f32(shape.k_aux), 1.0);
    }
  }
  if (lane == 0u) {
    control.n_dead = n_dead;
    control.n_active = 0u;
    control.coefficient = step.sparsity_coefficient * exp(steering.log_multiplier);
    control.threshold = steering.threshold_mean * step.threshold_scale;
  }
}
