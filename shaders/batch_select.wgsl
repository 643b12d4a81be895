// The K largest positive activations of a whole batch, as the bits of the smallest that is kept (BatchTopK). A radix
// select over 31-bit keys, since positive floats rise with their bits: three digits of 11, 10 and 10 bits, each counted
// by `count` and chosen by `pick`. With `rescaled` activations are ranked by z · ‖W_dec[f]‖.
import constants::WORKGROUP;
import package::grid::group_number;
import package::step::Step;

struct Shape {
  // Of z.
  d_sae: u32,
  // Of the digit: its lowest bit, how many values it has, and its first word in the histograms.
  shift: u32,
  digits: u32,
  first: u32,
}

struct Selection {
  // How many are still to be chosen, below what the digits so far have kept.
  wanted: u32,
  // Digits so far; after the last, the key of the smallest that is kept, or all ones where nothing is positive.
  key: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read_write> histograms: array<atomic<u32>>;
@group(0) @binding(3) var<storage, read_write> selection: Selection;
@group(0) @binding(4) var<storage, read> z: array<f32>;
@if(rescaled) @group(0) @binding(5) var<storage, read> norms: array<f32>;

// Elements of z that an invocation of `count` looks at.
const SHARE = 16u;

@compute @workgroup_size(WORKGROUP)
fn count(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = group_number(group, groups) * u32(WORKGROUP) * SHARE + lane;
  let total = step.rows * shape.d_sae;
  // Digits above this one must equal those that were picked.
  @if(!top) let above = shape.shift + countTrailingZeros(shape.digits);
  @if(!top) let prefix = selection.key >> above;
  for (var j = 0u; j < SHARE; j++) {
    let i = first + j * u32(WORKGROUP);
    if (i >= total) {
      return;
    }
    @if(rescaled) let value = z[i] * norms[i % shape.d_sae];
    @if(!rescaled) let value = z[i];
    if (value > 0.0) {
      let key = bitcast<u32>(value);
      @if(top) {
        atomicAdd(&histograms[shape.first + (key >> shape.shift)], 1u);
      }
      @if(!top) {
        if ((key >> above) == prefix) {
          atomicAdd(&histograms[shape.first + ((key >> shape.shift) & (shape.digits - 1u))], 1u);
        }
      }
    }
  }
}

var<workgroup> sums: array<u32, WORKGROUP>;

// One workgroup. Lanes own contiguous digits, the largest first.
@compute @workgroup_size(WORKGROUP)
fn pick(@builtin(local_invocation_index) lane: u32) {
  let share = shape.digits / u32(WORKGROUP);
  let top = shape.digits - lane * share;
  var own = 0u;
  for (var d = 1u; d <= share; d++) {
    own += atomicLoad(&histograms[shape.first + top - d]);
  }
  sums[lane] = own;
  workgroupBarrier();
  var before = 0u;
  var all = 0u;
  for (var i = 0u; i < u32(WORKGROUP); i++) {
    if (i < lane) {
      before += sums[i];
    }
    all += sums[i];
  }
  @if(top) let wanted = min(step.k, all);
  @if(!top) let wanted = selection.wanted;
  storageBarrier();
  if (wanted == 0u) {
    if (lane == 0u) {
      selection.wanted = 0u;
      selection.key = 0xffffffffu;
    }
    return;
  }
  if (wanted <= before || wanted > before + own) {
    return;
  }
  for (var d = 1u; d <= share; d++) {
    let found = atomicLoad(&histograms[shape.first + top - d]);
    if (wanted <= before + found) {
      @if(top) {
        selection.key = (top - d) << shape.shift;
      }
      @if(!top) {
        selection.key |= (top - d) << shape.shift;
      }
      selection.wanted = wanted - before;
      return;
    }
    before += found;
  }
}
