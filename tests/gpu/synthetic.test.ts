import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { syntheticGenerators } from "../../gpu/data/presets.ts";
import type { BatchStream } from "../../gpu/data/source.ts";
import {
  type SyntheticConfigInput,
  SyntheticSource,
  syntheticConfigSchema,
} from "../../gpu/data/synthetic.ts";
import { bufferUsage } from "../../gpu/device/constants.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { readFloat32 } from "../../gpu/device/readback.ts";
import { syntheticBatch } from "../reference/synthetic.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ adapter: "software", robust: true });
});
afterAll(() => gpu.close());

/** x [rows, d_in] and a [rows, n_features] of one batch, as the GPU makes them. */
async function draw(source: SyntheticSource, stream: BatchStream, batch: number, rows: number) {
  const used = gpu.ledger.used;
  const open = await source.open(gpu, rows);
  expect(gpu.ledger.used - used).toBe(source.gpuBytes(rows));
  const target = gpu.ledger.allocate("x", 4 * rows * source.d_in, bufferUsage.STORAGE | bufferUsage.COPY_SRC);
  try {
    await open.ready(stream, batch, rows);
    const encoder = gpu.device.createCommandEncoder();
    open.encodeBatch(encoder, target, stream, batch, rows);
    gpu.device.queue.submit([encoder.finish()]);
    const x = await readFloat32(gpu, target);
    const a = await readFloat32(gpu, open.activations);
    return { x, a };
  } finally {
    gpu.ledger.free(target);
    open.close();
  }
}

function source(config: SyntheticConfigInput): SyntheticSource {
  return new SyntheticSource(syntheticConfigSchema.parse(config));
}

const zipf = { firing_distribution: "zipf", firing_probability: 0.3, firing_probability_min: 0.01 } as const;
const tree = { hierarchy_roots: 3, hierarchy_branching: 3, hierarchy_depth: 2 } as const;

const variants: Record<string, SyntheticConfigInput> = {
  flat: { d_in: 16, n_features: 24, firing_distribution: "flat", firing_probability: 0.1 },
  "awkward sizes, zipf, varied magnitudes": {
    ...zipf,
    d_in: 7,
    n_features: 13,
    magnitude_mean: 5,
    magnitude_mean_last: 1,
    magnitude_std: 0.5,
    magnitude_std_spread: 0.5,
    bias_norm: 2,
  },
  "one feature": { d_in: 2, n_features: 1, firing_probability: 0.5 },
  correlated: { ...zipf, d_in: 12, n_features: 30, correlation_rank: 5, correlation_scale: 0.3 },
  hierarchy: { ...zipf, ...tree, d_in: 16, n_features: 45, scale_children_by_parent: false },
  "hierarchy, scaled": { ...zipf, ...tree, d_in: 16, n_features: 39, magnitude_std: 0.5 },
  "hierarchy, exclusive, scaled, correlated": {
    ...zipf,
    ...tree,
    d_in: 16,
    n_features: 42,
    mutually_exclusive_children: true,
    correlation_rank: 2,
    correlation_scale: 0.2,
    magnitude_std: 0.5,
  },
};

describe("samples follow the float64 reference", () => {
  for (const [name, config] of Object.entries(variants)) {
    it(name, async () => {
      const from = source(config);
      const rows = 501;
      const { x, a } = await draw(from, "training", 3, rows);
      const wanted = syntheticBatch(from, "training", 3, rows);
      const n = from.n_features;
      // A row may differ only where a Gaussian of the reference lies within float32's error of its threshold.
      let differing = 0;
      let worstActivation = 0;
      let worstSample = 0;
      for (let row = 0; row < rows; row++) {
        let same = true;
        for (let i = 0; i < n; i++) {
          const at = row * n + i;
          if (a[at]! > 0 !== wanted.a[at]! > 0) same = false;
        }
        if (!same) {
          differing++;
          expect(wanted.margin[row]).toBeLessThan(1e-5);
          continue;
        }
        for (let i = 0; i < n; i++) {
          const at = row * n + i;
          worstActivation = Math.max(worstActivation, Math.abs(a[at]! - wanted.a[at]!));
        }
        for (let j = 0; j < from.d_in; j++) {
          const at = row * from.d_in + j;
          worstSample = Math.max(worstSample, Math.abs(x[at]! - wanted.x[at]!));
        }
      }
      expect(differing).toBeLessThanOrEqual(1);
      expect(worstActivation).toBeLessThan(2e-5);
      expect(worstSample).toBeLessThan(5e-5);
    });
  }

  it("beyond 2^32 tokens", async () => {
    const from = source({ d_in: 8, n_features: 12, firing_probability: 0.2 });
    const batch = Math.floor(2 ** 32 / 64);
    for (const number of [batch - 1, batch, 3 * batch + 5]) {
      const { a } = await draw(from, "training", number, 64);
      const wanted = syntheticBatch(from, "training", number, 64);
      for (let at = 0; at < a.length; at++) expect(a[at]! > 0).toBe(wanted.a[at]! > 0);
    }
    const rows = 70;
    const { a } = await draw(from, "training", Math.floor((2 ** 32 - 30) / rows), rows);
    const wanted = syntheticBatch(from, "training", Math.floor((2 ** 32 - 30) / rows), rows);
    for (let at = 0; at < a.length; at++) expect(a[at]! > 0).toBe(wanted.a[at]! > 0);
  });
});

describe("statistics of the samples", () => {
  const rows = 20_000;

  function rates(a: Float32Array, n: number): number[] {
    const counts = new Array<number>(n).fill(0);
    for (let at = 0; at < a.length; at++) if (a[at]! > 0) counts[at % n]!++;
    return counts.map((count) => count / (a.length / n));
  }

  /** All within 4σ, nearly all within 3σ, and their squares as large together as chance makes them. */
  function expectRates(found: number[], wanted: Float64Array) {
    const z = found.map((rate, i) => (rate - wanted[i]!) / Math.sqrt((wanted[i]! * (1 - wanted[i]!)) / rows));
    for (const [i, value] of z.entries()) {
      expect(Math.abs(value), `feature ${i}: ${found[i]} instead of ${wanted[i]}`).toBeLessThan(4);
    }
    expect(z.filter((value) => Math.abs(value) > 3).length).toBeLessThanOrEqual(1);
    const squares = z.reduce((sum, value) => sum + value * value, 0);
    expect(Math.abs(squares - z.length)).toBeLessThan(4 * Math.sqrt(2 * z.length));
  }

  for (const [name, config] of Object.entries({
    independent: { ...zipf, d_in: 16, n_features: 40, magnitude_mean: 3 },
    correlated: {
      ...zipf,
      d_in: 16,
      n_features: 40,
      magnitude_mean: 3,
      correlation_rank: 6,
      correlation_scale: 0.2,
    },
    "hierarchical, compensated": {
      ...zipf,
      ...tree,
      d_in: 16,
      n_features: 40,
      magnitude_mean: 3,
      scale_children_by_parent: false,
    },
    "exclusive, compensated": {
      ...tree,
      hierarchy_branching: 3,
      firing_distribution: "zipf",
      firing_probability: 0.4,
      firing_probability_min: 0.005,
      zipf_exponent: 1,
      d_in: 16,
      n_features: 45,
      magnitude_mean: 3,
      mutually_exclusive_children: true,
    },
  } satisfies Record<string, SyntheticConfigInput>)) {
    it(`${name}: firing rates and mean L0`, async () => {
      const from = source(config);
      const { a } = await draw(from, "training", 0, rows);
      const found = rates(a, from.n_features);
      const { firing_rate, firing_probability } = from.truth;
      expectRates(found, firing_rate);
      // Only siblings that exclude each other stay below the rates they are meant to have.
      if (name !== "exclusive, compensated") expectRates(found, firing_probability);
      const l0 = found.reduce((sum, rate) => sum + rate, 0);
      const wanted = firing_rate.reduce((sum, p) => sum + p, 0);
      expect(Math.abs(l0 / wanted - 1)).toBeLessThan(0.02);
    });
  }

  it("mini: mean L0 11.6, 8.3 of it from the 256 most frequent features", async () => {
    const from = new SyntheticSource(syntheticGenerators.mini);
    const { a } = await draw(from, "training", 0, 4_096);
    const found = rates(a, 1_024);
    // Hidden causes that many features share move the mean from batch to batch, and rates a little from the truth's.
    expect(found.reduce((sum, rate) => sum + rate, 0)).toBeCloseTo(11.6, 0);
    expect(found.slice(0, 256).reduce((sum, rate) => sum + rate, 0)).toBeCloseTo(8.3, 0);
  });

  it("synthsaebench-16k: mean L0 34, 25 of it from the 4,096 most frequent features", async () => {
    // Rates do not depend on the directions, which take a GPU to push apart.
    const from = new SyntheticSource({
      ...syntheticGenerators["synthsaebench-16k"],
      d_in: 2,
      orthogonalize_steps: 0,
    });
    const { a } = await draw(from, "training", 0, 256);
    const found = rates(a, 16_384);
    expect(Math.abs(found.reduce((sum, rate) => sum + rate, 0) - 34)).toBeLessThan(1.5);
    expect(Math.abs(found.slice(0, 4_096).reduce((sum, rate) => sum + rate, 0) - 25)).toBeLessThan(1.2);
  });

  it("children fire only with their parents, siblings one at a time", async () => {
    const from = source({
      ...tree,
      d_in: 16,
      n_features: 39,
      firing_probability: 0.2,
      mutually_exclusive_children: true,
    });
    const { a } = await draw(from, "training", 0, 4_000);
    const n = from.n_features;
    let pairs = 0;
    for (let row = 0; row < 4_000; row++) {
      for (let i = 3; i < n; i++) {
        if (!(a[row * n + i]! > 0)) continue;
        pairs++;
        expect(a[row * n + from.truth.parent[i]!]).toBeGreaterThan(0);
        const first = from.truth.first_sibling[i]!;
        const firing = a.slice(row * n + first, row * n + first + 3).filter((value) => value > 0);
        expect(firing).toHaveLength(1);
      }
    }
    expect(pairs).toBeGreaterThan(1_000);
  });

  it("firing of different features, tokens and streams is uncorrelated; loadings correlate it", async () => {
    const from = source({ d_in: 8, n_features: 16, firing_probability: 0.3 });
    const n = 16;
    const { a } = await draw(from, "training", 0, rows);
    const { a: other } = await draw(from, "evaluation", 0, rows);
    const limit = 5 / Math.sqrt(rows);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        if (j !== i) expect(Math.abs(phi(a, a, n, i, j, 0))).toBeLessThan(limit);
        expect(Math.abs(phi(a, a, n, i, j, 1))).toBeLessThan(limit);
        expect(Math.abs(phi(a, other, n, i, j, 0))).toBeLessThan(limit);
      }
    }
    const linked = source({
      d_in: 8,
      n_features: 16,
      firing_probability: 0.3,
      correlation_rank: 1,
      correlation_scale: 0.7,
    });
    const { a: together } = await draw(linked, "training", 0, rows);
    const L = linked.truth.loadings;
    const strongest = [...L.keys()].sort((i, j) => Math.abs(L[j]!) - Math.abs(L[i]!));
    const [i, j] = [strongest[0]!, strongest[1]!];
    expect(phi(together, together, n, i, j, 0) * Math.sign(L[i]! * L[j]!)).toBeGreaterThan(0.2);
  });

  it("a batch is a function of its number, whatever was drawn before, and streams differ", async () => {
    const from = source({ d_in: 8, n_features: 12 });
    const first = await draw(from, "training", 7, 100);
    await draw(from, "evaluation", 0, 100);
    const again = await draw(source({ d_in: 8, n_features: 12 }), "training", 7, 100);
    expect(again.x).toEqual(first.x);
    expect((await draw(from, "evaluation", 7, 100)).x).not.toEqual(first.x);
    expect((await draw(source({ d_in: 8, n_features: 12, seed: 1 }), "training", 7, 100)).x).not.toEqual(
      first.x,
    );
    const halves = [await draw(from, "training", 14, 50), await draw(from, "training", 15, 50)];
    expect([...halves[0]!.x, ...halves[1]!.x]).toEqual([...first.x]);
  });
});

/** Correlation of firing of feature i of `a` with feature j of `b`, `lag` tokens later. */
function phi(a: Float32Array, b: Float32Array, n: number, i: number, j: number, lag: number): number {
  const rows = a.length / n - lag;
  let [pa, pb, both] = [0, 0, 0];
  for (let row = 0; row < rows; row++) {
    const fa = a[row * n + i]! > 0 ? 1 : 0;
    const fb = b[(row + lag) * n + j]! > 0 ? 1 : 0;
    pa += fa;
    pb += fb;
    both += fa * fb;
  }
  pa /= rows;
  pb /= rows;
  return (both / rows - pa * pb) / Math.sqrt(pa * (1 - pa) * pb * (1 - pb));
}
