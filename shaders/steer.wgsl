// Ends a step: what is carried from step to step besides weights. One invocation.
//   threshold   m ← m + r · (smallest kept activation − m), where anything was kept
//   target      q = ln L0;  fast ← fast + 0.1 · (q − fast),  slow ← slow + rate · (q − slow), both from the first q
//               log_multiplier ← log_multiplier + gain · tanh(3 · (2·fast − slow − ln target)), within 1,000 times
// fast − slow is how far ln L0 has moved within the horizon 1 / rate, so 2·fast − slow is where it will be one horizon
// from now. Features answer a coefficient late, so what followed L0 as it is would wind the coefficient up meanwhile.
import package::control::Control;
import package::step::Step;

struct Shape {
  // topk_threshold_lr; with a target, 1 / horizon.
  rate: f32,
  target_l0: f32,
  gain: f32,
}

struct Steering {
  threshold_mean: f32,
  log_l0: f32,
  log_multiplier: f32,
  log_l0_slow: f32,
}

struct Selection {
  wanted: u32,
  key: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read_write> steering: Steering;
@if(threshold) @group(0) @binding(3) var<storage, read> selection: Selection;
@if(target_l0) @group(0) @binding(3) var<storage, read> control: Control;

// ln 1,000.
const LIMIT = 6.907755279;
// L0 of a batch in which nothing fires.
const SILENT = 1e-3;

@compute @workgroup_size(1)
fn main() {
  @if(threshold) {
    let kept = selection.wanted > 0u && step.rows > 0u;
    if (kept) {
      steering.threshold_mean += shape.rate * (bitcast<f32>(selection.key) - steering.threshold_mean);
    }
  }
  @if(target_l0) {
    let now = log(max(f32(control.n_active) / f32(step.rows), SILENT));
    let first = step.number == 1u;
    let fast = select(steering.log_l0 + 0.1 * (now - steering.log_l0), now, first);
    let slow = select(steering.log_l0_slow + shape.rate * (now - steering.log_l0_slow), now, first);
    steering.log_l0 = fast;
    steering.log_l0_slow = slow;
    let pull = tanh(clamp(3.0 * (2.0 * fast - slow - log(shape.target_l0)), -10.0, 10.0));
    steering.log_multiplier = clamp(steering.log_multiplier + shape.gain * pull, -LIMIT, LIMIT);
  }
}
