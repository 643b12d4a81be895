// One workgroup a token: the error of the reconstruction, then the gradient at each selected pre-activation.
//   e[t]      = Σ_j value[t, j] · W_dec[index[t, j]] (+ b_dec) − x[t]
//   dz[t, j]  = 2/B · ⟨W_dec[index[t, j]], e[t]⟩ where value > 0, else 0
// With `aux` the dead features explain the residual −e: the second half of `errors` becomes
//   aux_scale · (Σ_j value · W_dec[index] + e[t]), and dz has no mask.
import constants::WORKGROUP;
@if(aux) import package::control::Control;
import package::grid::group_number;
import package::step::Step;

struct Shape {
  stride: u32,
  k: u32,
  // First vec4f of the auxiliary errors.
  aux_errors: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> W_dec: array<vec4f>;
@group(0) @binding(3) var<storage, read> indices: array<u32>;
@group(0) @binding(4) var<storage, read> values: array<f32>;
@group(0) @binding(5) var<storage, read_write> gradients: array<f32>;
@group(0) @binding(6) var<storage, read_write> errors: array<vec4f>;
@if(aux) @group(0) @binding(7) var<storage, read> control: Control;
@if(!aux) @group(0) @binding(7) var<storage, read> x: array<vec4f>;
@if(add_b_dec) @group(0) @binding(8) var<storage, read> b_dec: array<vec4f>;

// Slots whose dot products are summed between two barriers.
const BATCH = 8u;
var<workgroup> partials: array<vec4f, 2 * WORKGROUP>;

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
  @if(aux) let k = control.k_aux;
  @if(!aux) let k = shape.k;
  let s = shape.stride;
  let slots = token * shape.k;
  let row = token * s;
  @if(aux) let out = shape.aux_errors + row;
  @if(!aux) let out = row;

  for (var c = lane; c < s; c += u32(WORKGROUP)) {
    @if(aux) var sum = errors[row + c];
    @if(!aux) var sum = -x[row + c];
    @if(add_b_dec) {
      sum += b_dec[c];
    }
    for (var j = 0u; j < k; j++) {
      sum += values[slots + j] * W_dec[indices[slots + j] * s + c];
    }
    @if(aux) {
      sum *= control.aux_scale;
    }
    errors[out + c] = sum;
  }

  // A lane reads back only what it wrote itself, so the errors need no barrier.
  let scale = 2.0 / f32(step.rows);
  for (var first = 0u; first < k; first += BATCH) {
    var w: array<u32, BATCH>;
    for (var j = 0u; j < BATCH; j++) {
      w[j] = indices[slots + min(first + j, k - 1u)] * s;
    }
    var low = vec4f();
    var high = vec4f();
    for (var c = lane; c < s; c += u32(WORKGROUP)) {
      let e = errors[out + c];
      low += vec4f(dot(W_dec[w[0] + c], e), dot(W_dec[w[1] + c], e), dot(W_dec[w[2] + c], e), dot(W_dec[w[3] + c], e));
      high += vec4f(dot(W_dec[w[4] + c], e), dot(W_dec[w[5] + c], e), dot(W_dec[w[6] + c], e), dot(W_dec[w[7] + c], e));
    }
    partials[2u * lane] = low;
    partials[2u * lane + 1u] = high;
    workgroupBarrier();
    for (var j = lane; j < min(BATCH, k - first); j += u32(WORKGROUP)) {
      var total = 0.0;
      for (var i = 0u; i < u32(WORKGROUP); i++) {
        total += partials[2u * i + j / 4u][j % 4u];
      }
      let slot = slots + first + j;
      @if(aux) {
        gradients[slot] = scale * total;
      }
      @if(!aux) {
        gradients[slot] = select(0.0, scale * total, values[slot] > 0.0);
      }
    }
    workgroupBarrier();
  }
}
