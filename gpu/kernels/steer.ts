import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import type { PlanContext } from "./grid.ts";

/** f32 words of what is carried from step to step besides weights: threshold_mean, log_l0, log_multiplier, log_l0_slow. */
export const steeringWords = 4;

/** Follows BatchTopK's threshold, or steers the penalty's coefficient towards target_l0. */
export type SteerRule =
  | { rule: "threshold"; rate: number; selection: GPUBuffer }
  | {
      rule: "target_l0";
      target: number;
      gain: number;
      /** Steps over which the trend of L0 is taken, and for which it is thought to go on. */
      horizon: number;
      control: GPUBuffer;
    };

/** Ends a training step. */
export async function planSteer(
  { gpu, uniforms, step }: PlanContext,
  rule: SteerRule,
  steering: GPUBuffer,
): Promise<Dispatch> {
  const pipeline = await gpu.pipelines.compute({ shader: "steer", conditions: { [rule.rule]: true } });
  const [rate, target, gain, read] =
    rule.rule === "threshold"
      ? [rule.rate, 0, 0, rule.selection]
      : [1 / rule.horizon, rule.target, rule.gain, rule.control];
  const uniform = uniforms.add([{ f32: rate }, { f32: target }, { f32: gain }]);
  return {
    label: "steer",
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [step, uniform, steering, read]),
    grid: [1, 1, 1],
    bytes: 32,
    flops: 0,
  };
}
