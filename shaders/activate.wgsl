// Which features are active at which tokens, as bits: bit t % 32 of word [t / 32, f]. One invocation a word.
//   standard   z > 0
//   gated      plane 0: π > 0 and m > 0, plane 1: π > 0        π = z + b_gate, m = z · exp(r_mag) + b_mag
//   jumprelu   plane 0: z > θ, plane 1: |z − θ| < ε/2, where θ has a gradient
//   batchtopk  z > 0 and at or above the batch's threshold (batch_select.wgsl)
//   threshold  z > the inference threshold of BatchTopK
// With `rescaled` the last two compare z · ‖W_dec[f]‖.
import constants::WORKGROUP;
@if(threshold) import package::control::Control;
import package::grid::group_number;
import package::step::Step;

struct Shape {
  d_sae: u32,
  // Floats from one parameter of the features to the next.
  feature_stride: u32,
  // Words of a plane.
  plane: u32,
  // ε / 2.
  half_bandwidth: f32,
}

struct Selection {
  wanted: u32,
  key: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> z: array<f32>;
@group(0) @binding(3) var<storage, read_write> words: array<u32>;
// b_gate, b_mag, r_mag; or b_enc, θ.
@if(gated || jumprelu) @group(0) @binding(4) var<storage, read> parameters: array<f32>;
@if(batch) @group(0) @binding(4) var<storage, read> selection: Selection;
@if(threshold) @group(0) @binding(4) var<storage, read> control: Control;
@if(rescaled) @group(0) @binding(5) var<storage, read> norms: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_number(group, groups) * u32(WORKGROUP) + lane;
  let f = i % shape.d_sae;
  let first = (i / shape.d_sae) * 32u;
  if (first >= step.rows) {
    return;
  }
  let count = min(32u, step.rows - first);
  @if(gated) let b_gate = parameters[f];
  @if(gated) let b_mag = parameters[shape.feature_stride + f];
  @if(gated) let gain = exp(parameters[2u * shape.feature_stride + f]);
  @if(gated) var gate = 0u;
  @if(jumprelu) let theta = parameters[shape.feature_stride + f];
  @if(jumprelu) var window = 0u;
  @if(rescaled) let norm = norms[f];
  @if(batch) let key = selection.key;
  @if(threshold) let least = control.threshold;
  var word = 0u;
  for (var bit = 0u; bit < count; bit++) {
    let value = z[(first + bit) * shape.d_sae + f];
    let mask = 1u << bit;
    @if(gated) {
      let open = value + b_gate > 0.0;
      gate |= select(0u, mask, open);
      word |= select(0u, mask, open && value * gain + b_mag > 0.0);
    }
    @if(jumprelu) {
      word |= select(0u, mask, value > theta);
      window |= select(0u, mask, abs(value - theta) < shape.half_bandwidth);
    }
    @if(rescaled) let ranked = value * norm;
    @if(!rescaled) let ranked = value;
    @if(batch) {
      // Positive floats rise with their bits.
      word |= select(0u, mask, ranked > 0.0 && bitcast<u32>(ranked) >= key);
    }
    @if(threshold) {
      word |= select(0u, mask, ranked > least);
    }
    @if(standard) {
      word |= select(0u, mask, value > 0.0);
    }
  }
  words[i] = word;
  @if(gated) {
    words[shape.plane + i] = gate;
  }
  @if(jumprelu) {
    words[shape.plane + i] = window;
  }
}
