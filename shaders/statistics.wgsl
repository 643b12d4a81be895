// Gathers what the host reads of a step into one small buffer; one workgroup. gpu/kernels/statistics.ts has the layout.
import constants::WORKGROUP;
import package::control::{Control, DIVERGED, MAIN_ENTRIES};
import package::reduce::workgroup_sum;
import package::step::Step;

struct Shape {
  // vec4f in moments.
  count: u32,
}

struct Statistics {
  // Sums over the batch of squares of: x − x̄, e − ē, e, the auxiliary error.
  x_deviation: f32,
  error_deviation: f32,
  error: f32,
  aux_error: f32,
  aux_scale: f32,
  grad_norm: f32,
  // Selected pre-activations above zero.
  active_entries: u32,
  n_dead: u32,
  diverged: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> moments: array<vec4f>;
@group(0) @binding(2) var<storage, read> control: Control;
@group(0) @binding(3) var<storage, read_write> counters: array<atomic<u32>>;
@group(0) @binding(4) var<storage, read_write> statistics: Statistics;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sums = vec4f();
  for (var i = lane; i < shape.count; i += u32(WORKGROUP)) {
    sums += moments[i];
  }
  let x_deviation = workgroup_sum(sums.x, lane);
  let error_deviation = workgroup_sum(sums.y, lane);
  let error = workgroup_sum(sums.z, lane);
  let aux_error = workgroup_sum(sums.w, lane);
  if (lane == 0u) {
    statistics.x_deviation = x_deviation;
    statistics.error_deviation = error_deviation;
    statistics.error = error;
    statistics.aux_error = aux_error;
    statistics.aux_scale = control.aux_scale;
    statistics.grad_norm = control.grad_norm;
    statistics.active_entries = atomicLoad(&counters[MAIN_ENTRIES]);
    statistics.n_dead = control.n_dead;
    statistics.diverged = atomicLoad(&counters[DIVERGED]);
  }
}
