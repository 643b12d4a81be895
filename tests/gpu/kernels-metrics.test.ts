import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { blocksOf, planColumnSum } from "../../gpu/kernels/column-sum.ts";
import type { ErrorRegions } from "../../gpu/kernels/decode.ts";
import { featureStride } from "../../gpu/kernels/feature-gradient.ts";
import { planMoments } from "../../gpu/kernels/moments.ts";
import { planStatistics, statisticsBytes, unpackStatistics } from "../../gpu/kernels/statistics.ts";
import { KernelBench } from "./kernel-bench.ts";
import { gamma, normals, packControl, range } from "./kernel-data.ts";

let gpu: Gpu;
let bench: KernelBench;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterEach(() => bench.close());
afterAll(() => gpu.close());

const squares = (values: ArrayLike<number>) => Array.from(values).reduce((sum, value) => sum + value ** 2, 0);

/** Σ of squared deviations from the column means. */
function deviation(values: Float32Array, width: number): number {
  const rows = values.length / width;
  let sum = 0;
  for (let c = 0; c < width; c++) {
    const column = range(rows).map((t) => values[t * width + c]!);
    const mean = column.reduce((a, b) => a + b) / rows;
    sum += squares(column.map((value) => value - mean));
  }
  return sum;
}

interface Case {
  regions: ErrorRegions;
  levels?: number;
  aux?: number[];
}

test.each<[string, Case]>([
  ["plain", { regions: "plain" }],
  ["plain, AuxK", { regions: "plain", aux: [0.3] }],
  ["plain, no feature dead", { regions: "plain", aux: [0] }],
  ["nested, AuxK at two levels of three", { regions: "nested", levels: 3, aux: [0.5, 0, 2] }],
  ["multi, AuxK", { regions: "multi", aux: [0.25] }],
  ["gated", { regions: "gated" }],
])("moments and statistics, %s, also far from zero", async (_name, { regions, levels = 1, aux = [] }) => {
  const [planned, rows, width, stride] = [150, 137, 37, 10];
  const [d_sae, sparsity_row] = [70, 2];
  const feature_stride = featureStride(d_sae);
  bench = new KernelBench(gpu, { rows });
  const { context } = bench;
  const mainRegions = { plain: 1, nested: levels, multi: 3, gated: 2 }[regions];
  const region_size = Math.ceil((planned * stride) / 16) * 16;
  // The y of the batch lies far from zero, its error less far; what lies beyond the batch must not count.
  const beyond = (planned - rows) * width;
  const y = Float32Array.of(
    ...normals(rows * width, 1).map((value) => 1000 + value),
    ...new Array(beyond).fill(7),
  );
  const errors = range(mainRegions + aux.length).map((region) =>
    normals(rows * width, 10 + region).map((value) => value + (region === 0 ? 3 : 0)),
  );
  const all = new Float32Array(4 * region_size * errors.length).fill(9);
  errors.forEach((error, region) => {
    for (let i = 0; i < planned * 4 * stride; i++) {
      const [t, c] = [Math.floor(i / (4 * stride)), i % (4 * stride)];
      all[4 * region * region_size + i] = t >= rows ? 9 : c < width ? error[t * width + c]! : 0;
    }
  });
  const [yBuffer, errorBuffer] = [bench.rows(y, width), bench.input(all)];
  const { blocks } = blocksOf(planned);
  const [y_sums, error_sums] = [bench.output(blocks * stride * 4), bench.output(blocks * stride * 4)];
  const moments = bench.untouched(blocks * stride * 8);
  const statistics = bench.output(statisticsBytes / 4);
  const feature_sums = normals(4 * feature_stride, 5);
  const control = bench.input(
    packControl(d_sae, {
      n_dead: 5,
      n_active: 321,
      grad_norm: 2.5,
      coefficient: 0.75,
      aux: aux.map((scale) => ({ n_dead: 1, k: 1, scale })),
    }),
  );
  const sum = (label: string, matrix: GPUBuffer, sums: GPUBuffer) =>
    planColumnSum(context, { label, rows: planned, stride }, { matrix, sums, rows: "batch" });
  bench.run(
    await sum("y", yBuffer, y_sums),
    await sum("errors", errorBuffer, error_sums),
    await planMoments(
      context,
      {
        rows: planned,
        stride,
        regions,
        region_size,
        levels,
        aux: { levels: aux.length, region: mainRegions },
      },
      { y: yBuffer, errors: errorBuffer, y_sums, error_sums, control, moments },
    ),
    await planStatistics(
      context,
      { count: blocks * stride, d_sae, feature_stride, sparsity_row },
      {
        moments,
        control,
        counters: bench.input(Uint32Array.of(0xffffffff - 4, 0, 0, 0)),
        statistics,
        feature_sums: bench.input(feature_sums),
      },
    ),
  );
  const actual = unpackStatistics((await bench.u32(statistics)).buffer as ArrayBuffer);
  const [main] = errors;
  // Sums of positive terms; of the differences of nested regions the squares of their sizes.
  const close = (found: number, wanted: number, size = wanted) =>
    expect(Math.abs(found - wanted), `${found} for ${wanted}`).toBeLessThanOrEqual(
      gamma(rows * stride + blocks + 20) * size,
    );
  // Each mean is off by a sum's error at most, here some 1e-3 of a deviation; rounding averages out to 1e-6 of it. The
  // formula of one pass, Σ y² − n ȳ², is off by 1e-2.
  expect(actual.y_deviation / deviation(y.subarray(0, rows * width), width)).toBeCloseTo(1, 4);
  expect(actual.error_deviation / deviation(main!, width)).toBeCloseTo(1, 5);
  close(actual.error, squares(main!));

  const differences = range(regions === "nested" ? levels - 1 : 0).map((r) => [
    errors[r + 1]!.map((value, i) => value - errors[r]![i]!),
    errors[r + 1]!.map((value, i) => Math.abs(value) + Math.abs(errors[r]![i]!)),
  ]);
  close(
    actual.mse,
    squares(main!) + differences.reduce((total, [own]) => total + squares(own!), 0),
    squares(main!) + differences.reduce((total, [, size]) => total + squares(size!), 0),
  );
  const auxiliary =
    (regions === "multi" ? 8 * squares(errors[2]!) : 0) +
    (regions === "gated" ? squares(errors[1]!) : 0) +
    aux.reduce((total, scale, a) => total + (scale > 0 ? squares(errors[mainRegions + a]!) / scale : 0), 0);
  close(actual.auxiliary, auxiliary);
  const row = (number: number) =>
    feature_sums.subarray(number * feature_stride, number * feature_stride + d_sae);
  const total = (values: Float32Array) => values.reduce((a, b) => a + b, 0);
  close(actual.sparsity, total(row(sparsity_row)), total(row(sparsity_row).map(Math.abs)));
  close(actual.pre_act, total(row(sparsity_row + 1)), total(row(sparsity_row + 1).map(Math.abs)));
  expect(actual).toMatchObject({ grad_norm: 2.5, coefficient: 0.75, n_active: 321, n_dead: 5, diverged: 4 });
});
