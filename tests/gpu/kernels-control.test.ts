import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { controlBytes, divergedStep, firstTokenNorm, mostLevels } from "../../gpu/kernels/control.ts";
import { planFindDead } from "../../gpu/kernels/find-dead.ts";
import { planSteer, steeringWords } from "../../gpu/kernels/steer.ts";
import { asHardware, KernelBench } from "./kernel-bench.ts";
import { exponential, gamma, packControl, range, unpackControl } from "./kernel-data.ts";

let gpu: Gpu;
let bench: KernelBench;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterEach(() => bench.close());
afterAll(() => gpu.close());

test("the control has room for bits and norms, and a mark tells its step", () => {
  bench = new KernelBench(gpu);
  expect(controlBytes(129, 7)).toBe(4 * (8 + 4 * mostLevels + 5 + 7));
  expect(firstTokenNorm(129)).toBe(8 + 4 * mostLevels + 5);
  expect([divergedStep(0), divergedStep(0xffffffff - 12)]).toEqual([null, 12]);
});

describe("find_dead", () => {
  const window = 1000;

  /** At the window a feature is still alive. */
  function agesOf(d_sae: number, dead: readonly number[]): Uint32Array<ArrayBuffer> {
    const ages = new Uint32Array(d_sae).fill(window);
    for (const f of dead) ages[f] = f % 2 === 0 ? window + 1 : 0xffffffff;
    return ages;
  }

  test.each([
    { name: "none", d_sae: 129, dead: [], widths: [129] },
    { name: "one", d_sae: 129, dead: [128], widths: [129] },
    { name: "fewer than k_aux", d_sae: 129, dead: [0, 64, 65], widths: [129] },
    { name: "all", d_sae: 129, dead: range(129), widths: [129] },
    { name: "all, more than a lane's words", d_sae: 1000, dead: range(1000), widths: [1000] },
    { name: "some", d_sae: 1000, dead: range(1000).filter((f) => (f * 7) % 11 < 3), widths: [1000] },
    { name: "some, levels", d_sae: 129, dead: [9, 10, 32, 33, 63, 64, 128], widths: [9, 10, 33, 64, 129] },
    {
      name: "all, most levels",
      d_sae: 70,
      dead: range(70),
      widths: [...range(mostLevels - 1).map((level) => level + 1), 70],
    },
    { name: "one feature", d_sae: 1, dead: [0], widths: [1] },
    {
      name: "some on hardware",
      d_sae: 1000,
      dead: range(1000).filter((f) => f % 7 < 2),
      widths: [40, 1000],
      hardware: true,
    },
  ])("$name of $d_sae dead", async ({ d_sae, dead, widths, hardware }) => {
    const [nominal, coefficient, penalty] = [5, 0.5, 3];
    const [threshold_mean, log_multiplier, threshold_scale] = [0.75, -1.5, 20];
    bench = new KernelBench(hardware ? asHardware(gpu) : gpu, {
      sparsity_coefficient: penalty,
      threshold_scale,
    });
    const levels = widths.length;
    const [list, grids] = [bench.output(d_sae), bench.output(6)];
    // Left from the step before.
    const control = bench.input(
      packControl(d_sae, { n_dead: 99, n_active: 99, clip: 0.5, dead: range(d_sae) }),
    );
    bench.run(
      await planFindDead(
        bench.context,
        { d_sae, window, k_aux: nominal, coefficient, widths, dispatches: 2 },
        {
          tokens_since_fired: bench.input(agesOf(d_sae, dead)),
          dead: list,
          control,
          planned_grids: bench.input(Uint32Array.of(7, 1, 1, 9, 2, 1)),
          grids,
          steering: bench.input(Float32Array.of(threshold_mean, 7, log_multiplier, 0)),
        },
      ),
    );
    expect([...(await bench.u32(list, d_sae))].slice(0, dead.length)).toEqual(dead);
    expect([...(await bench.u32(grids, 6))]).toEqual(
      dead.length > 0 ? [7, 1, 1, 9, 2, 1] : [0, 0, 0, 0, 0, 0],
    );
    const actual = unpackControl(await bench.u32(control), { d_sae, levels });
    expect(actual).toMatchObject({ n_dead: dead.length, n_active: 0, dead, threshold: 15 });
    const multiplied = penalty * Math.exp(log_multiplier);
    expect(Math.abs(actual.coefficient - multiplied)).toBeLessThan(
      gamma(exponential(log_multiplier) + 1) * multiplied,
    );
    widths.forEach((width, level) => {
      const below = dead.filter((f) => f < width).length;
      expect(actual.aux[level]).toMatchObject({ n_dead: below, k: Math.min(below, nominal) });
      // A division and a product.
      const scale = coefficient * Math.min(below / nominal, 1);
      expect(Math.abs(actual.aux[level]!.scale - scale)).toBeLessThanOrEqual(gamma(6) * scale);
    });
  });

  test("without AuxK nothing is selected", async () => {
    const d_sae = 40;
    bench = new KernelBench(gpu);
    const control = bench.input(packControl(d_sae, {}));
    bench.run(
      await planFindDead(
        bench.context,
        { d_sae, window, k_aux: 0, coefficient: 1, widths: [], dispatches: 0 },
        {
          tokens_since_fired: bench.input(agesOf(d_sae, [3, 39])),
          dead: bench.output(d_sae),
          control,
          planned_grids: bench.output(0),
          grids: bench.output(0),
          steering: bench.output(steeringWords),
        },
      ),
    );
    const actual = unpackControl(await bench.u32(control), { d_sae, levels: mostLevels });
    expect(actual).toMatchObject({ n_dead: 2, dead: [3, 39] });
    expect(actual.aux).toEqual(new Array(mostLevels).fill({ n_dead: 0, k: 0, scale: 0 }));
  });
});

describe("steer", () => {
  test("the threshold's mean follows the smallest activation that was kept, where any was", async () => {
    const [rate, mean, smallest] = [0.125, 2, 3.5];
    bench = new KernelBench(gpu, { rows: 5 });
    const [key] = new Uint32Array(Float32Array.of(smallest).buffer);
    for (const [wanted, expected] of [
      [1, mean + rate * (smallest - mean)],
      [0, mean],
    ] as const) {
      const steering = bench.input(Float32Array.of(mean, 7, 8, 0));
      const selection = bench.input(Uint32Array.of(wanted, wanted === 0 ? 0xffffffff : key!, 0, 0));
      bench.run(await planSteer(bench.context, { rule: "threshold", rate, selection }, steering));
      // Powers of two: exact.
      expect([...(await bench.f32(steering))]).toEqual([expected, 7, 8, 0]);
    }
  });

  const limit = Math.log(1000);
  test.each([
    { number: 1, fast: 99, slow: 98, log: 0.5, n_active: 60 },
    { number: 2, fast: 1.2, slow: 1.3, log: 0.5, n_active: 60 },
    { number: 2, fast: 1.4, slow: 2, log: -0.5, n_active: 400 },
    { number: 2, fast: 2, slow: 2.6, log: -0.5, n_active: 120 },
    { number: 9, fast: 1.3, slow: 1.3, log: 0, n_active: 0 },
    { number: 2, fast: 13, slow: 13, log: limit - 0.01, n_active: 4e6 },
    { number: 2, fast: -6, slow: -6, log: -limit + 0.01, n_active: 0 },
  ])(
    "towards target_l0 at step $number from means $fast and $slow and $log",
    async ({ number, fast, slow, log, n_active }) => {
      const [rows, target, gain, horizon] = [20, 4, 0.05, 16];
      bench = new KernelBench(gpu, { rows, number });
      const steering = bench.input(Float32Array.of(7, fast, log, slow));
      const control = bench.input(packControl(1, { n_active }));
      const rule = { rule: "target_l0", target, gain, horizon, control } as const;
      bench.run(await planSteer(bench.context, rule, steering));
      const [threshold, newFast, multiplier, newSlow] = await bench.f32(steering);
      const q = Math.log(Math.max(n_active / rows, 1e-3));
      const mean = (old: number, rate: number) => (number === 1 ? q : old + rate * (q - old));
      const expected = [mean(fast, 0.1), mean(slow, 1 / horizon)] as const;
      // WGSL's log is off by 2⁻²¹ near 1, and by 3 units in the last place elsewhere.
      const offLog = 2 ** -21 + gamma(6) * Math.abs(q);
      const offMean = offLog + gamma(6) * (Math.abs(q) + Math.abs(fast) + Math.abs(slow));
      expect(threshold).toBe(7);
      expect(Math.abs(newFast! - expected[0])).toBeLessThanOrEqual(offMean);
      expect(Math.abs(newSlow! - expected[1])).toBeLessThanOrEqual(offMean);
      // WGSL's tanh is off by 1e-5 at most, and passes on what its argument is off by, times its slope.
      const argument = 3 * (2 * expected[0] - expected[1] - Math.log(target));
      const moved = log + gain * Math.tanh(argument);
      const off = 3 * (3 * offMean + 2 ** -20) + gamma(8) * Math.abs(argument);
      const slope = Math.cosh(Math.max(0, Math.abs(argument) - off)) ** -2;
      const bound = gain * (1e-5 + off * slope) + gamma(3) * (Math.abs(log) + gain);
      expect(Math.abs(multiplier! - Math.min(limit, Math.max(-limit, moved)))).toBeLessThanOrEqual(bound);
    },
  );
});
