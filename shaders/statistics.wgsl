// Gathers what the host reads of a step into one small buffer; one workgroup. gpu/kernels/statistics.ts has the layout.
import constants::WORKGROUP;
import package::control::{Control, DIVERGED};
import package::reduce::workgroup_sum;

struct Shape {
  // Pairs of vec4f in moments.
  count: u32,
  // Features, and floats from one row of `sums` to the next; the row with each feature's share of the sparsity loss.
  d_sae: u32,
  feature_stride: u32,
  sparsity_row: u32,
}

struct Statistics {
  // Sums over the batch of squares of: y − ȳ, e − ē, e; what mse_loss, aux_loss and sparsity_loss sum.
  y_deviation: f32,
  error_deviation: f32,
  error: f32,
  mse: f32,
  auxiliary: f32,
  // Without coefficients: Σ of the penalty, and of the pre-activation loss.
  sparsity: f32,
  pre_act: f32,
  grad_norm: f32,
  coefficient: f32,
  n_active: u32,
  n_dead: u32,
  diverged: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> moments: array<vec4f>;
@group(0) @binding(2) var<storage, read> control: Control;
@group(0) @binding(3) var<storage, read_write> counters: array<atomic<u32>>;
@group(0) @binding(4) var<storage, read_write> statistics: Statistics;
@group(0) @binding(5) var<storage, read> sums: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
  var squares = vec4f();
  var losses = vec3f();
  for (var i = lane; i < shape.count; i += u32(WORKGROUP)) {
    squares += moments[2u * i];
    losses.x += moments[2u * i + 1u].x;
  }
  let first = shape.sparsity_row * shape.feature_stride;
  for (var f = lane; f < shape.d_sae; f += u32(WORKGROUP)) {
    losses.y += sums[first + f];
    losses.z += sums[first + shape.feature_stride + f];
  }
  let y_deviation = workgroup_sum(squares.x, lane);
  let error_deviation = workgroup_sum(squares.y, lane);
  let error = workgroup_sum(squares.z, lane);
  let mse = workgroup_sum(squares.w, lane);
  let auxiliary = workgroup_sum(losses.x, lane);
  let sparsity = workgroup_sum(losses.y, lane);
  let pre_act = workgroup_sum(losses.z, lane);
  if (lane == 0u) {
    statistics.y_deviation = y_deviation;
    statistics.error_deviation = error_deviation;
    statistics.error = error;
    statistics.mse = mse;
    statistics.auxiliary = auxiliary;
    statistics.sparsity = sparsity;
    statistics.pre_act = pre_act;
    statistics.grad_norm = control.grad_norm;
    statistics.coefficient = control.coefficient;
    statistics.n_active = control.n_active;
    statistics.n_dead = control.n_dead;
    statistics.diverged = atomicLoad(&counters[DIVERGED]);
  }
}
