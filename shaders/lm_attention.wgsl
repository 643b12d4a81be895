// z[t, h] = Σ_j softmax_j(c(scale · ⟨q[t, h], k[j, g]⟩)) · v[j, g] over the positions j of t's own sequence up to t, the
// last `window` of them; z and q begin at position `first` of the step, k and v at the sequence's own. g is the head of keys that h shares, c(s) = cap · tanh(s / cap) where scores are capped.
// A workgroup takes WORKGROUP queries that follow one another, one an invocation, through the same keys, four at a time.
// The softmax is taken as keys come by (Milakov & Gimelshein 2018): sums so far shrink when a larger score appears.
//   quads   the four invocations of a quad each load one of the four keys and hand it round: on CPU adapters a load costs
//           some ten times an fma. Hardware has caches for that.
import constants::STRIDE;
import constants::WORKGROUP;
import package::dots::dots;
import package::grid::group_number;
@if(capped) import package::lm_math::precise_tanh;
import package::step::Step;

@if(quads) enable subgroups;

struct Shape {
  heads: u32,
  // Queries' heads to one of keys.
  shared_by: u32,
  length: u32,
  window: u32,
  // Workgroups to a sequence and head.
  tiles: u32,
  scale: f32,
  cap: f32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> q: array<vec4f>;
@group(0) @binding(3) var<storage, read> k: array<vec4f>;
@group(0) @binding(4) var<storage, read> v: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> z: array<vec4f>;

// Below every score. WGSL promises nothing of infinities.
const LOWEST = -1e30;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @if(quads) @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
  let number = group_number(group, groups);
  let h = (number / shape.tiles) % shape.heads;
  let start = number / (shape.tiles * shape.heads) * shape.length;
  // The same for the whole workgroup, as quad operations need it.
  if (start >= step.rows) {
    return;
  }
  // Queries of the sequence in this pass; those beyond repeat the last and are not stored.
  let queries = min(shape.length, step.rows - start);
  let tile = (number % shape.tiles) * u32(WORKGROUP);
  if (tile >= queries) {
    return;
  }
  let query = min(tile + lane, queries - 1u);
  let position = step.first + query;
  let last = step.first + min(tile + u32(WORKGROUP), queries) - 1u;
  let kv_heads = shape.heads / shape.shared_by;
  let g = h / shape.shared_by;
  let own = ((start + query) * shape.heads + h) * u32(STRIDE);
  var sums: array<vec4f, u32(STRIDE)>;
  var largest = LOWEST;
  var total = 0.0;
  let lowest = step.first + tile + 1u;
  let first = lowest - min(lowest, shape.window);
  for (var j = first; j <= last; j += 4u) {
    // Keys beyond the last repeat it.
    @if(quads) let mine = ((start + min(j + (subgroup_lane & 3u), last)) * kv_heads + g) * u32(STRIDE);
    @if(!quads) let j0 = ((start + j) * kv_heads + g) * u32(STRIDE);
    @if(!quads) let j1 = ((start + min(j + 1u, last)) * kv_heads + g) * u32(STRIDE);
    @if(!quads) let j2 = ((start + min(j + 2u, last)) * kv_heads + g) * u32(STRIDE);
    @if(!quads) let j3 = ((start + min(j + 3u, last)) * kv_heads + g) * u32(STRIDE);
    var scores = vec4f();
    for (var c = 0u; c < u32(STRIDE); c++) {
      @if(quads) {
        let key = k[mine + c];
        scores += dots(
          q[own + c],
          quadBroadcast(key, 0u),
          quadBroadcast(key, 1u),
          quadBroadcast(key, 2u),
          quadBroadcast(key, 3u),
        );
      }
      @else {
        scores += dots(q[own + c], k[j0 + c], k[j1 + c], k[j2 + c], k[j3 + c]);
      }
    }
    scores *= shape.scale;
    @if(capped) {
      scores = shape.cap * vec4f(
        precise_tanh(scores.x / shape.cap),
        precise_tanh(scores.y / shape.cap),
        precise_tanh(scores.z / shape.cap),
        precise_tanh(scores.w / shape.cap),
      );
    }
    // Up to the query's own position, and not more than the window before it.
    let keys = vec4u(j) + vec4u(0u, 1u, 2u, 3u);
    let seen = vec4u(position) - keys < vec4u(min(shape.window, position + 1u));
    scores = select(vec4f(LOWEST), scores, seen);
    let larger = max(largest, max(max(scores.x, scores.y), max(scores.z, scores.w)));
    // Arguments end where exp does: e^-100 is zero beside one.
    let kept = exp(max(largest - larger, -100.0));
    let p = select(vec4f(0.0), exp(max(scores - larger, vec4f(-100.0))), seen);
    largest = larger;
    total = total * kept + dot(p, vec4f(1.0));
    for (var c = 0u; c < u32(STRIDE); c++) {
      @if(quads) {
        let value = v[mine + c];
        sums[c] = kept * sums[c] + p.x * quadBroadcast(value, 0u) + p.y * quadBroadcast(value, 1u)
          + p.z * quadBroadcast(value, 2u) + p.w * quadBroadcast(value, 3u);
      }
      @else {
        sums[c] = kept * sums[c] + p.x * v[j0 + c] + p.y * v[j1 + c] + p.z * v[j2 + c] + p.w * v[j3 + c];
      }
    }
  }
  if (tile + lane >= queries) {
    return;
  }
  for (var c = 0u; c < u32(STRIDE); c++) {
    z[own + c] = sums[c] / total;
  }
}
