// One step of Adam that pushes directions E [n, d] apart (gpu/data/directions.ts, pushApart):
//
//   gram   G = EᵀE, [d, d]
//   step   gradient = 4·(E·G + (n·(‖e‖² − 1) − ‖e‖²)·e), moments and E by Adam
//
// Rows and columns are padded with zeros to multiples of 4, which stay zero. An invocation makes a block of 4 by 4
// numbers in registers, without barriers; every sum runs in order, so results repeat bit for bit.

struct Step {
  // n, without padding.
  count: f32,
  lr: f32,
  correction1: f32,
  correction2: f32,
  // Rows and columns, in fours.
  row_quads: u32,
  quads: u32,
}

const BETA1 = 0.9;
const BETA2 = 0.999;
const EPSILON = 1e-8;

@group(0) @binding(0) var<uniform> step_: Step;
// E [4·row_quads, quads] as it stands, and as it will.
@group(0) @binding(1) var<storage, read> now: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> next: array<vec4f>;
// Of the shape of E.
@group(0) @binding(3) var<storage, read_write> moment: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> square: array<vec4f>;
@group(0) @binding(5) var<storage, read> gram_: array<vec4f>;
// G [4·quads, quads]; the same buffer as gram_.
@group(0) @binding(6) var<storage, read_write> gram_out: array<vec4f>;

@compute @workgroup_size(8, 8)
fn gram(@builtin(global_invocation_id) id: vec3u) {
  let quads = step_.quads;
  if (id.x >= quads || id.y >= quads) {
    return;
  }
  var sums = mat4x4f();
  for (var row = 0u; row < 4u * step_.row_quads; row++) {
    let a = now[row * quads + id.y];
    let b = now[row * quads + id.x];
    sums[0] += a.x * b;
    sums[1] += a.y * b;
    sums[2] += a.z * b;
    sums[3] += a.w * b;
  }
  for (var k = 0u; k < 4u; k++) {
    gram_out[(4u * id.y + k) * quads + id.x] = sums[k];
  }
}

@compute @workgroup_size(8, 8)
fn step(@builtin(global_invocation_id) id: vec3u) {
  let quads = step_.quads;
  if (id.x >= quads || id.y >= step_.row_quads) {
    return;
  }
  var products = mat4x4f();
  var norms = vec4f();
  for (var a = 0u; a < quads; a++) {
    let g = mat4x4f(
      gram_[(4u * a) * quads + id.x],
      gram_[(4u * a + 1u) * quads + id.x],
      gram_[(4u * a + 2u) * quads + id.x],
      gram_[(4u * a + 3u) * quads + id.x],
    );
    for (var k = 0u; k < 4u; k++) {
      let e = now[(4u * id.y + k) * quads + a];
      products[k] += g * e;
      norms[k] += dot(e, e);
    }
  }
  for (var k = 0u; k < 4u; k++) {
    let at = (4u * id.y + k) * quads + id.x;
    let e = now[at];
    let gradient = 4.0 * (products[k] + (step_.count * (norms[k] - 1.0) - norms[k]) * e);
    let m = BETA1 * moment[at] + (1.0 - BETA1) * gradient;
    let v = BETA2 * square[at] + (1.0 - BETA2) * gradient * gradient;
    moment[at] = m;
    square[at] = v;
    next[at] = e - step_.lr * (m / step_.correction1) / (sqrt(v / step_.correction2) + EPSILON);
  }
}
