import { flatLanes, type PlanContext, spread } from "../../kernels/grid.ts";

/** A grid of one invocation each for `count` things. */
export function flatGrid({ gpu }: PlanContext, count: number) {
  return spread(Math.ceil(count / flatLanes), gpu.capabilities);
}
