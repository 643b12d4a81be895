/**
 * Exponential moving average with bias correction: s_t = β s_{t−1} + (1 − β) x_t, divided by 1 − βᵗ, so that the first
 * values are not pulled to zero. Values that are not finite are skipped and stay gaps. The same as TensorBoard's.
 */
export function smooth(values: readonly (number | null)[], beta: number): (number | null)[] {
  let average = 0;
  let correction = 1;
  return values.map((value) => {
    if (value === null) return null;
    average = beta * average + (1 - beta) * value;
    correction *= beta;
    return average / (1 - correction);
  });
}
