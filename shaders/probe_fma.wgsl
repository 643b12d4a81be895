// Measures the f32 multiply-add rate: chains of dependent fma() in registers, eight independent vec4f chains so that
// latency is hidden. The factor and the addend come from memory, lest the compiler fold the loop.
import constants::ITERATIONS;

@group(0) @binding(0) var<storage, read> operands: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> sums: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let a = operands[0];
  let b = operands[1];
  var s0 = operands[2];
  var s1 = s0 + b;
  var s2 = s1 + b;
  var s3 = s2 + b;
  var s4 = s3 + b;
  var s5 = s4 + b;
  var s6 = s5 + b;
  var s7 = s6 + b;
  for (var i = 0u; i < u32(ITERATIONS); i++) {
    s0 = fma(s0, a, b);
    s1 = fma(s1, a, b);
    s2 = fma(s2, a, b);
    s3 = fma(s3, a, b);
    s4 = fma(s4, a, b);
    s5 = fma(s5, a, b);
    s6 = fma(s6, a, b);
    s7 = fma(s7, a, b);
  }
  sums[id.x] = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7;
}
