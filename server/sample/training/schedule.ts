/** A stretch of training in which the rate warms up, stays, and falls to nothing along a half cosine at the end. */
export interface Cycle {
  lr: number;
  steps: number;
  warm_up_steps: number;
  cool_down_steps: number;
}

export const stepsOf = (schedule: readonly Cycle[]): number =>
  schedule.reduce((sum, { steps }) => sum + steps, 0);

/** The rate of a step, from 1 on. Cycles follow one another: warm restarts (Loshchilov and Hutter 2017). */
export function rateAt(step: number, schedule: readonly Cycle[]): number {
  let first = 0;
  for (const { lr, steps, warm_up_steps, cool_down_steps } of schedule) {
    const at = step - first;
    first += steps;
    if (at > steps) continue;
    if (at <= warm_up_steps) return (lr * at) / warm_up_steps;
    const into = at - (steps - cool_down_steps);
    return into <= 0 ? lr : (lr * (1 + Math.cos((Math.PI * into) / cool_down_steps))) / 2;
  }
  throw new RangeError(`The schedule has ${stepsOf(schedule)} steps; ${step} is none of them.`);
}
