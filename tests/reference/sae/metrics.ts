/** FVU and explained variance of a batch, by their definitions. @param y, error [B, width]. */
export function varianceMetrics(
  y: Float64Array,
  error: Float64Array,
  width: number,
): { fvu: number; explained_variance: number } {
  const B = y.length / width;
  const deviation = (values: Float64Array) => {
    let total = 0;
    for (let c = 0; c < width; c++) {
      let mean = 0;
      for (let t = 0; t < B; t++) mean += values[t * width + c]! / B;
      for (let t = 0; t < B; t++) total += (values[t * width + c]! - mean) ** 2;
    }
    return total;
  };
  const square = error.reduce((sum, e) => sum + e ** 2, 0);
  return { fvu: square / deviation(y), explained_variance: 1 - deviation(error) / deviation(y) };
}
