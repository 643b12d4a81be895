import constants::WORKGROUP;

var<workgroup> partial: array<f32, WORKGROUP>;

// Sum of every invocation's value, the same bits in each: added in order of the lanes. Call in uniform control flow.
fn workgroup_sum(value: f32, lane: u32) -> f32 {
  // An earlier sum may still be read.
  workgroupBarrier();
  partial[lane] = value;
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < u32(WORKGROUP); i++) {
    total += partial[i];
  }
  return total;
}
