import constants::WORKGROUP;

// `lockstep`: the workgroup is one subgroup, whose lanes need no barriers. The shader that imports this enables subgroups.
@if(!lockstep) var<workgroup> partial: array<f32, WORKGROUP>;

// Sum of every invocation's value, the same bits in each: added in order of the lanes, or in the subgroup's own fixed
// order. Call in uniform control flow.
@if(lockstep)
fn workgroup_sum(value: f32, lane: u32) -> f32 {
  return subgroupAdd(value);
}
@else
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
