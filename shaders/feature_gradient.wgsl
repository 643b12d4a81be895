// Gradients of one feature's rows, one workgroup a feature, over its segments of entries (main, then AuxK):
//   gW_dec[f] = 2/B · Σ value · error[token]     gW_enc[f] = Σ gradient · x[token]     gb_enc[f] = Σ gradient
// and the square of their joint norm. `unit_decoder`: the part of gW_dec along W_dec[f] is removed first.
import constants::WORKGROUP;
import package::entry::Entry;
import package::grid::group_number;
import package::reduce::workgroup_sum;
import package::step::Step;

struct Shape {
  d_sae: u32,
  stride: u32,
  // First vec4f of the auxiliary errors.
  aux_errors: u32,
  // Place of the square norms in `sums`.
  first_norm: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> errors: array<vec4f>;
@group(0) @binding(4) var<storage, read> entries: array<Entry>;
// (begin, count) of the main entries of every feature, then of the auxiliary ones.
@group(0) @binding(5) var<storage, read> segments: array<vec2u>;
@group(0) @binding(6) var<storage, read_write> gW_enc: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> gW_dec: array<vec4f>;
// gb_enc of every feature, then the square norm of all its gradients.
@group(0) @binding(8) var<storage, read_write> sums: array<f32>;
@if(unit_decoder) @group(0) @binding(9) var<storage, read> W_dec: array<vec4f>;

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
  let s = shape.stride;
  let main_segment = segments[f];
  let aux_segment = segments[shape.d_sae + f];
  let main_end = main_segment.x + main_segment.y;
  let aux_end = aux_segment.x + aux_segment.y;
  let scale = 2.0 / f32(step.rows);

  var square = 0.0;
  var along = 0.0;
  for (var c = lane; c < s; c += u32(WORKGROUP)) {
    var enc = vec4f();
    var dec = vec4f();
    for (var i = main_segment.x; i < main_end; i++) {
      let entry = entries[i];
      enc += entry.gradient * x[entry.token * s + c];
      dec += entry.value * errors[entry.token * s + c];
    }
    for (var i = aux_segment.x; i < aux_end; i++) {
      let entry = entries[i];
      enc += entry.gradient * x[entry.token * s + c];
      dec += entry.value * errors[shape.aux_errors + entry.token * s + c];
    }
    dec *= scale;
    gW_enc[f * s + c] = enc;
    gW_dec[f * s + c] = dec;
    square += dot(enc, enc);
    @if(unit_decoder) {
      along += dot(dec, W_dec[f * s + c]);
    }
    @if(!unit_decoder) {
      square += dot(dec, dec);
    }
  }
  @if(unit_decoder) {
    along = workgroup_sum(along, lane);
    for (var c = lane; c < s; c += u32(WORKGROUP)) {
      let dec = gW_dec[f * s + c] - along * W_dec[f * s + c];
      gW_dec[f * s + c] = dec;
      square += dot(dec, dec);
    }
  }
  var bias = 0.0;
  for (var i = main_segment.x + lane; i < main_end; i += u32(WORKGROUP)) {
    bias += entries[i].gradient;
  }
  for (var i = aux_segment.x + lane; i < aux_end; i += u32(WORKGROUP)) {
    bias += entries[i].gradient;
  }
  bias = workgroup_sum(bias, lane);
  square = workgroup_sum(square, lane);
  if (lane == 0u) {
    sums[f] = bias;
    sums[shape.first_norm + f] = square + bias * bias;
  }
}
