import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { type ActivationRule, planActivate } from "../../gpu/kernels/activate.ts";
import { featureStride } from "../../gpu/kernels/feature-gradient.ts";
import { planFirings } from "../../gpu/kernels/firings.ts";
import { planListActive } from "../../gpu/kernels/list-active.ts";
import { planLpNorms } from "../../gpu/kernels/lp-norms.ts";
import { RandomStream } from "../../gpu/sae/random.ts";
import { KernelBench } from "./kernel-bench.ts";
import {
  bitPlane,
  division,
  exponential,
  gamma,
  normals,
  packControl,
  power,
  range,
  unpackControl,
} from "./kernel-data.ts";

let gpu: Gpu;
let bench: KernelBench;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterEach(() => bench.close());
afterAll(() => gpu.close());

describe("activate", () => {
  const [rows, planned, d_sae] = [65, 129, 37];
  const feature_stride = featureStride(d_sae);
  const plane = Math.ceil(planned / 32) * d_sae;
  const guard = 0xdeadbeef;
  type Active = (t: number, f: number) => boolean;

  /** Pre-activations: feature 0 is at 0 and −0, feature 1 always below, feature 2 always above; all beyond the batch are. */
  function preactivations(): Float32Array<ArrayBuffer> {
    return normals(planned * d_sae, 1).map((value, i) => {
      const f = i % d_sae;
      if (i >= rows * d_sae) return 9;
      return f === 0
        ? i % 2 === 0
          ? 0
          : -0
        : f === 1
          ? -9 - Math.abs(value)
          : f === 2
            ? 9 + Math.abs(value)
            : value;
    });
  }

  /** Two planes of bits, and a third that is to stay. Nothing beyond the batch is written. */
  async function check(
    z: Float32Array<ArrayBuffer>,
    rule: ActivationRule,
    expected: readonly [Active, Active | null],
  ) {
    const words = bench.input(new Uint32Array(3 * plane).fill(guard));
    const shape = { rows: planned, d_sae, feature_stride, plane };
    bench.run(await planActivate(bench.context, shape, rule, { z: bench.input(z), words }));
    const actual = await bench.u32(words);
    const written = Math.ceil(rows / 32) * d_sae;
    for (const [number, active] of [...expected, null].entries()) {
      const own = actual.subarray(number * plane, (number + 1) * plane);
      const wanted = active === null ? new Uint32Array(written).fill(guard) : bitPlane(rows, d_sae, active);
      expect(own.subarray(0, written), `plane ${number}`).toEqual(wanted);
      expect(
        own.subarray(written).every((word) => word === guard),
        `plane ${number}`,
      ).toBe(true);
    }
  }

  const at =
    (z: Float32Array): ((t: number, f: number) => number) =>
    (t, f) =>
      z[t * d_sae + f]!;

  test("standard: above zero", async () => {
    bench = new KernelBench(gpu, { rows });
    const z = preactivations();
    await check(z, { rule: "standard" }, [(t, f) => at(z)(t, f) > 0, null]);
  });

  test("gated: gate and magnitude, and the gate alone", async () => {
    bench = new KernelBench(gpu, { rows });
    const z = preactivations();
    const parameters = normals(3 * feature_stride, 2);
    const [b_gate, b_mag, r_mag] = range(3).map((row) => parameters.subarray(row * feature_stride));
    const open: Active = (t, f) => Math.fround(at(z)(t, f) + b_gate![f]!) > 0;
    const magnitude = (t: number, f: number) => at(z)(t, f) * Math.exp(r_mag![f]!) + b_mag![f]!;
    for (const t of range(rows)) {
      for (const f of range(d_sae)) {
        // No magnitude is so near zero that rounding decides its sign.
        const size = Math.abs(at(z)(t, f)) * Math.exp(r_mag![f]!) + Math.abs(b_mag![f]!);
        expect(Math.abs(magnitude(t, f))).toBeGreaterThan(gamma(exponential(r_mag![f]!) + 2) * size);
      }
    }
    await check(z, { rule: "gated", parameters: bench.input(parameters) }, [
      (t, f) => open(t, f) && magnitude(t, f) > 0,
      open,
    ]);
  });

  test("jumprelu: above the threshold, and within the window around it", async () => {
    bench = new KernelBench(gpu, { rows });
    const bandwidth = 0.5;
    const parameters = new Float32Array(2 * feature_stride);
    const theta = parameters.subarray(feature_stride);
    theta.set(normals(d_sae, 2).map(Math.abs));
    theta.set([0, 0.25, 1], 3);
    const z = preactivations();
    // At the threshold, at both ends of the window, and within.
    for (const [t, offset] of [0, -0.25, 0.25, -0.125, 0.125].entries()) z[t * d_sae + 5] = 1 + offset;
    const rule = { rule: "jumprelu", parameters: bench.input(parameters), bandwidth } as const;
    await check(z, rule, [
      (t, f) => at(z)(t, f) > theta[f]!,
      (t, f) => Math.abs(Math.fround(at(z)(t, f) - theta[f]!)) < bandwidth / 2,
    ]);
  });

  test.each([false, true])("batch: at or above the key, and above zero, rescaled: %s", async (rescaled) => {
    bench = new KernelBench(gpu, { rows });
    const z = preactivations();
    const norms = rescaled ? normals(d_sae, 3).map(Math.abs).fill(0, 4, 5) : null;
    const rank = (t: number, f: number) => Math.fround(at(z)(t, f) * (norms?.[f] ?? 1));
    const smallest = rank(7, 9);
    expect(smallest).toBeGreaterThan(0);
    const keyOf = (value: number) => new Uint32Array(Float32Array.of(value).buffer)[0]!;
    for (const [key, least] of [
      [keyOf(smallest), smallest],
      [1, 0],
      [0xffffffff, Number.POSITIVE_INFINITY],
    ] as const) {
      const selection = bench.input(Uint32Array.of(1, key, 0, 0));
      const rule = { rule: "batch", selection, norms: norms && bench.input(norms) } as const;
      await check(z, rule, [(t, f) => rank(t, f) > 0 && rank(t, f) >= least, null]);
    }
  });

  test.each([false, true])("threshold: above it, rescaled: %s", async (rescaled) => {
    bench = new KernelBench(gpu, { rows });
    const z = preactivations();
    const norms = rescaled ? normals(d_sae, 3).map(Math.abs).fill(0, 4, 5) : null;
    const rank = (t: number, f: number) => Math.fround(at(z)(t, f) * (norms?.[f] ?? 1));
    for (const threshold of [0, rank(7, 9)]) {
      const control = bench.input(packControl(d_sae, { threshold }));
      const rule = { rule: "threshold", control, norms: norms && bench.input(norms) } as const;
      await check(z, rule, [(t, f) => rank(t, f) > threshold, null]);
    }
  });
});

/** Bits of all kinds of tokens and features: none, all, and random ones. */
function someActive(t: number, f: number): boolean {
  if (t === 3 || f === 5) return false;
  if (t === 4 || t === 64 || f === 7) return true;
  return new RandomStream(1000 * t + f).uniform() < 0.2;
}

describe("list_active", () => {
  test.each([
    { rows: 65, d_sae: 129, capacity: 129 },
    // Most lists are not whole.
    { rows: 65, d_sae: 129, capacity: 20 },
    { rows: 1, d_sae: 1, capacity: 1 },
  ])("$rows tokens, $d_sae features, room for $capacity", async ({ rows, d_sae, capacity }) => {
    bench = new KernelBench(gpu, { rows });
    const guard = 0xdeadbeef;
    const own = bitPlane(rows, d_sae, someActive);
    const plane = own.length;
    const words = new Uint32Array(2 * plane).fill(0xffffffff);
    words.set(own, plane);
    const indices = bench.input(new Uint32Array((rows + 1) * capacity).fill(guard));
    const counts = bench.output(rows + 1);
    bench.run(
      await planListActive(
        bench.context,
        { rows: rows + 1, d_sae, capacity, plane },
        { words: bench.input(words), indices, counts },
      ),
    );
    const [lists, lengths] = [await bench.u32(indices), await bench.u32(counts)];
    for (let t = 0; t <= rows; t++) {
      const active = t < rows ? range(d_sae).filter((f) => someActive(t, f)) : [];
      expect(lengths[t], `token ${t}`).toBe(active.length);
      const list = active.slice(0, capacity);
      expect([...lists.subarray(t * capacity, (t + 1) * capacity)], `token ${t}`).toEqual([
        ...list,
        ...new Array(capacity - list.length).fill(guard),
      ]);
    }
  });
});

describe("firings", () => {
  const [rows, d_sae] = [65, 129];
  const fired = range(d_sae).map((f) => range(rows).filter((t) => someActive(t, f)).length);
  const total = fired.reduce((a, b) => a + b);

  test("training counts activations, and ages what was silent, to the largest u32", async () => {
    // Feature 5 never fires; let others be silent too.
    const silent = (f: number) => f === 5 || f % 3 === 0;
    bench = new KernelBench(gpu, { rows });
    const ages = Uint32Array.from({ length: d_sae }, (_, f) =>
      f % 2 === 0 ? 10 : 0xffffffff - 64 + (f % 4),
    );
    const control = bench.input(packControl(d_sae, { n_active: 7, n_dead: 5 }));
    const tokens_since_fired = bench.input(ages);
    const words = bench.input(bitPlane(rows, d_sae, (t, f) => !silent(f) && someActive(t, f)));
    bench.run(
      await planFirings(bench.context, { rows, d_sae }, { words, control, keep: { tokens_since_fired } }),
    );
    const active = range(d_sae).reduce((sum, f) => sum + (silent(f) ? 0 : fired[f]!), 0);
    expect(unpackControl(await bench.u32(control), { d_sae })).toMatchObject({
      n_active: 7 + active,
      n_dead: 5,
    });
    const expected = [...ages].map((age, f) =>
      !silent(f) && fired[f]! > 0 ? 0 : Math.min(0xffffffff, age + rows),
    );
    expect([...(await bench.u32(tokens_since_fired, d_sae))]).toEqual(expected);
  });

  test("evaluation adds up, over a batch that is not full", async () => {
    bench = new KernelBench(gpu, { rows });
    const firings = bench.input(new Uint32Array(d_sae).fill(2));
    const control = bench.input(packControl(d_sae, {}));
    // Tiles beyond the batch are left from an earlier one.
    const words = new Uint32Array(5 * d_sae).fill(0xffffffff);
    words.set(bitPlane(rows, d_sae, someActive));
    const dispatch = await planFirings(
      bench.context,
      { rows: 5 * 32, d_sae },
      { words: bench.input(words), control, keep: { firings } },
    );
    bench.run(dispatch, dispatch);
    expect([...(await bench.u32(firings, d_sae))]).toEqual(fired.map((count) => 2 + 2 * count));
    expect(unpackControl(await bench.u32(control), { d_sae }).n_active).toBe(2 * total);
  });
});

test.each([2, 1.5, 8])("lp_norms, p = %f, also far outside of f32's range of powers", async (p) => {
  const [rows, planned, d_sae] = [65, 66, 37];
  bench = new KernelBench(gpu, { rows });
  const norms = normals(d_sae, 2).map(Math.abs).fill(0, 3, 4);
  const z = normals(planned * d_sae, 1).map((value, i) => {
    const t = Math.floor(i / d_sae);
    // Large, small and silent tokens.
    return t === 1 ? 1e30 * value : t === 2 ? 1e-30 * value : t === 3 ? -Math.abs(value) : value;
  });
  const token_norms = new Array(planned).fill(-5);
  const control = bench.input(packControl(d_sae, { n_dead: 3, dead: [1, 36], token_norms }));
  bench.run(
    await planLpNorms(
      bench.context,
      { rows: planned, d_sae, p },
      { z: bench.input(z), norms: bench.input(norms), control },
    ),
  );
  const actual = unpackControl(await bench.u32(control), { d_sae, tokens: planned });
  for (let t = 0; t < rows; t++) {
    const u = range(d_sae).map((f) => Math.max(z[t * d_sae + f]!, 0) * norms[f]!);
    const largest = Math.max(...u);
    const ratios = u.filter((value) => value > 0).map((value) => value / largest);
    const sum = ratios.reduce((total, ratio) => total + ratio ** p, 0);
    const expected = largest * sum ** (1 / p);
    // What is off in a term before its power counts p times, what is off in the sum 1/p times.
    const term = Math.max(0, ...ratios.map((ratio) => (1 + 1 + division) * p + power(ratio, p)));
    const roundings = (term + d_sae) / p + power(sum || 1, 1 / p) + 2;
    expect(Math.abs(actual.token_norms[t]! - expected), `token ${t}`).toBeLessThanOrEqual(
      gamma(roundings) * expected,
    );
  }
  expect(actual.token_norms[rows]).toBe(-5);
  expect(actual).toMatchObject({ n_dead: 3, dead: [1, 36] });
});
