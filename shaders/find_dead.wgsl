// Lists the dead features in ascending order and switches the AuxK dispatches on or off. One workgroup:
// each lane owns a contiguous range of features, so that the list comes out sorted.
import constants::WORKGROUP;
import package::control::Control;

struct Shape {
  d_sae: u32,
  // Dead: more tokens than this since the feature last fired.
  window: u32,
  // floor(d_in / 2); 0 when AuxK is off.
  k_aux: u32,
  coefficient: f32,
  // u32 words of the grids, three a dispatch.
  grid_words: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> tokens_since_fired: array<u32>;
@group(0) @binding(2) var<storage, read_write> dead: array<u32>;
@group(0) @binding(3) var<storage, read_write> control: Control;
@group(0) @binding(4) var<storage, read> planned_grids: array<u32>;
@group(0) @binding(5) var<storage, read_write> grids: array<u32>;

var<workgroup> counts: array<u32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
  let share = (shape.d_sae + u32(WORKGROUP) - 1u) / u32(WORKGROUP);
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
  for (var f = begin; f < end; f++) {
    if (tokens_since_fired[f] > shape.window) {
      dead[position] = f;
      position++;
    }
  }
  let k_aux = min(shape.k_aux, n_dead);
  for (var i = lane; i < shape.grid_words; i += u32(WORKGROUP)) {
    grids[i] = select(0u, planned_grids[i], k_aux > 0u);
  }
  if (lane == 0u) {
    control.n_dead = n_dead;
    control.k_aux = k_aux;
    control.aux_scale = 0.0;
    if (k_aux > 0u) {
      control.aux_scale = shape.coefficient * min(f32(n_dead) / f32(shape.k_aux), 1.0);
    }
  }
}
