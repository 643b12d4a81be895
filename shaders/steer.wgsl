// Ends a step: what is carried from step to step besides weights. One invocation.
//   threshold   m ← m + r · (smallest kept activation − m), where anything was kept
//   target      l ← l + 0.01 · (L0 − l), from the first step's L0
//               log_multiplier ← log_multiplier + gain · tanh(10 · (l / target − 1)), within a factor 1,000 of 1
import package::control::Control;
import package::step::Step;

struct Shape {
  // topk_threshold_lr.
  rate: f32,
  target_l0: f32,
  gain: f32,
}

struct Steering {
  threshold_mean: f32,
  l0_mean: f32,
  log_multiplier: f32,
  pad: f32,
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

@compute @workgroup_size(1)
fn main() {
  @if(threshold) {
    let kept = selection.wanted > 0u && step.rows > 0u;
    if (kept) {
      steering.threshold_mean += shape.rate * (bitcast<f32>(selection.key) - steering.threshold_mean);
    }
  }
  @if(target_l0) {
    let l0 = f32(control.n_active) / f32(step.rows);
    let mean = select(steering.l0_mean + 0.01 * (l0 - steering.l0_mean), l0, step.number == 1u);
    steering.l0_mean = mean;
    let pull = tanh(clamp(10.0 * (mean / shape.target_l0 - 1.0), -10.0, 10.0));
    steering.log_multiplier = clamp(steering.log_multiplier + shape.gain * pull, -LIMIT, LIMIT);
  }
}
