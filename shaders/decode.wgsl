// Errors of the reconstruction, one workgroup a token, its lanes side by side over the columns; no barriers.
//   e[t] = Σ_i f_i · W_dec[i] (+ b_dec) (+ W_skip x) − target[t]
// written to one or several regions of `errors`, which are what each active feature's gradient is taken against:
//   plain        region 0: e
//   nested       region G − 1 − g: Σ_{g' ≥ g} e_g', e_g being the error with the features below widths[g] (Matryoshka);
//                region 0 is the whole dictionary's error e
//   multi        region 0: e, 1: e + e₄/8, 2: e₄/8, with e₄ the error of the whole list, e that of the features in plane 0
//   gated        region 0: e, 1: the gate's error e_a
//   aux          the dead features explain the residual −e_g: scale · (Σ z_i W_dec[i] + e_g), at shape.region
// Columns that a lane sums in one walk over the features.
import constants::TILE;
import constants::WORKGROUP;
@if(aux) import package::control::Control;
import package::grid::group_number;
@if(half) import package::half::from_half;
import package::step::Step;

struct Shape {
  d_sae: u32,
  stride: u32,
  // Room per token in the lists.
  capacity: u32,
  // vec4f of a region, and AuxK's level, the number of levels and the region written.
  region_size: u32,
  level: u32,
  levels: u32,
  region: u32,
  // First word of the plane the list was made from.
  plane: u32,
  feature_stride: u32,
  pad0: u32,
  pad1: u32,
  pad2: u32,
  widths: array<vec4u, 4>,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@if(half) @group(0) @binding(2) var<storage, read> W_dec: array<vec2u>;
@if(!half) @group(0) @binding(2) var<storage, read> W_dec: array<vec4f>;
@group(0) @binding(3) var<storage, read> z: array<f32>;
@group(0) @binding(4) var<storage, read> indices: array<u32>;
@group(0) @binding(5) var<storage, read_write> errors: array<vec4f>;
@if(aux) @group(0) @binding(6) var<storage, read> control: Control;
@if(!aux) @group(0) @binding(6) var<storage, read> counts: array<u32>;
@if(!aux) @group(0) @binding(7) var<storage, read> target_rows: array<vec4f>;
@if(!aux) @group(0) @binding(8) var<storage, read> words: array<u32>;
@if(add_b_dec) @group(0) @binding(9) var<storage, read> b_dec: array<vec4f>;
// W_skip x.
@if(skip) @group(0) @binding(10) var<storage, read> skipped: array<vec4f>;
// b_gate, b_mag, r_mag.
@if(gated) @group(0) @binding(11) var<storage, read> parameters: array<f32>;

fn row_of(f: u32, c: u32) -> vec4f {
  @if(half) {
    return from_half(W_dec[f * shape.stride + c]);
  }
  @else {
    return W_dec[f * shape.stride + c];
  }
}

fn width_of(level: u32) -> u32 {
  return shape.widths[level / 4u][level % 4u];
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
  @if(aux) let count = control.aux[shape.level].k;
  @if(!aux) let count = counts[token];
  // A token with more active features than the list has room for is decoded from the bits.
  @if(aux) let listed = true;
  @if(!aux) let listed = count <= shape.capacity;
  let walk = select(shape.d_sae, count, listed);
  let bits = shape.plane + (token / 32u) * shape.d_sae;
  let bit = token % 32u;
  let slots = token * shape.capacity;
  let last = shape.stride - 1u;
  let row = token * shape.stride;

  for (var first = lane; first < shape.stride; first += u32(TILE) * u32(WORKGROUP)) {
    var c: array<u32, u32(TILE)>;
    var sums: array<vec4f, u32(TILE)>;
    // The gate's sum (gated), or that of the features beyond the k largest (multi).
    @if(gated || multi) var others: array<vec4f, u32(TILE)>;
    for (var q = 0u; q < u32(TILE); q++) {
      c[q] = min(first + q * u32(WORKGROUP), last);
      sums[q] = start(row, token, c[q]);
      @if(gated) {
        others[q] = sums[q];
      }
    }
    @if(nested) var level = 0u;
    for (var j = 0u; j < walk; j++) {
      var f = j;
      if (listed) {
        f = indices[slots + j];
      } else {
        @if(!aux) {
          if (((words[bits + f] >> bit) & 1u) == 0u) {
            continue;
          }
        }
      }
      let raw = z[token * shape.d_sae + f];
      @if(aux) let value = raw;
      @if(!aux && !gated) let value = max(raw, 0.0);
      @if(gated) let gate = raw + parameters[f];
      @if(gated) let gain = exp(parameters[2u * shape.feature_stride + f]);
      @if(gated) let value = max(raw * gain + parameters[shape.feature_stride + f], 0.0);
      @if(nested) {
        while (f >= width_of(level)) {
          for (var q = 0u; q < u32(TILE); q++) {
            put(shape.levels - 1u - level, row, first, q, sums[q]);
          }
          level++;
        }
      }
      @if(multi) let main = ((words[(token / 32u) * shape.d_sae + f] >> bit) & 1u) == 1u;
      for (var q = 0u; q < u32(TILE); q++) {
        let w = row_of(f, c[q]);
        @if(multi) {
          if (main) {
            sums[q] += value * w;
          } else {
            others[q] += value * w;
          }
        }
        @if(!multi) {
          sums[q] += value * w;
        }
        @if(gated) {
          others[q] += gate * w;
        }
      }
    }
    for (var q = 0u; q < u32(TILE); q++) {
      @if(aux) {
        put(shape.region, row, first, q, control.aux[shape.level].scale * sums[q]);
      }
      @if(nested) {
        var total = vec4f();
        for (var g = shape.levels; g > 0u; g--) {
          let region = shape.levels - g;
          if (g - 1u >= level) {
            total += sums[q];
          } else {
            total += errors[region * shape.region_size + row + c[q]];
          }
          put(region, row, first, q, total);
        }
      }
      @if(multi) {
        let fourfold = 0.125 * (sums[q] + others[q]);
        put(0u, row, first, q, sums[q]);
        put(1u, row, first, q, sums[q] + fourfold);
        put(2u, row, first, q, fourfold);
      }
      @if(gated) {
        put(0u, row, first, q, sums[q]);
        put(1u, row, first, q, others[q]);
      }
      @if(plain) {
        put(0u, row, first, q, sums[q]);
      }
    }
  }
}

// What the features are added to.
fn start(row: u32, token: u32, c: u32) -> vec4f {
  @if(aux) {
    // The level's own error, from the suffix sums.
    let region = shape.levels - 1u - shape.level;
    var residual = errors[region * shape.region_size + row + c];
    if (region > 0u) {
      residual -= errors[(region - 1u) * shape.region_size + row + c];
    }
    return residual;
  }
  @if(!aux) {
    var sum = -target_rows[row + c];
    @if(add_b_dec) {
      sum += b_dec[c];
    }
    @if(skip) {
      sum += skipped[row + c];
    }
    return sum;
  }
}

// Lanes beyond the last column repeat it and are not stored.
fn put(region: u32, row: u32, first: u32, q: u32, value: vec4f) {
  let c = first + q * u32(WORKGROUP);
  if (c < shape.stride) {
    errors[region * shape.region_size + row + c] = value;
  }
}
