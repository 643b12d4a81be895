// Measures memory bandwidth: reads and writes each vec4f once, with nothing to compute. A workgroup moves blocks of
// 4 KiB, so that neighbouring invocations touch neighbouring addresses and each has four loads under way.

@group(0) @binding(0) var<storage, read> source: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> destination: array<vec4f>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  // Whole blocks only.
  let blocks = arrayLength(&source) / 256u;
  for (var block = group.x; block < blocks; block += groups.x) {
    let i = block * 256u + lane;
    let a = source[i];
    let b = source[i + 64u];
    let c = source[i + 128u];
    let d = source[i + 192u];
    destination[i] = a;
    destination[i + 64u] = b;
    destination[i + 128u] = c;
    destination[i + 192u] = d;
  }
}
