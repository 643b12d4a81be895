import { describe, expect, test } from "vitest";
import { differences, type Example, example, expectGradients, h, run } from "../reference/gradient-check.ts";

const architecture = "jumprelu" as const;
const modes = ["step", "quadratic", "tanh"] as const;
const dead = [0, 2, 5, 6, 9, 12];
const penalty = (mode: (typeof modes)[number]) => ({
  architecture,
  jumprelu_sparsity_loss_mode: mode,
  target_l0: mode === "quadratic" ? 4 : null,
});

describe("jumprelu: gradients of all but θ equal central differences", () => {
  test.each(modes)("penalty %s", (mode) => {
    expectGradients(example(penalty(mode)));
    expectGradients(example({ ...penalty(mode), pre_act_loss_coefficient: 0.3 }, { dead }));
    expectGradients(example({ ...penalty(mode), apply_b_dec_to_input: false, decoder_norm: "unit" }));
  });
});

test("θ's part of the pre-activation loss equals central differences, for a loss of steps has no others", () => {
  for (const mode of modes) {
    const one = example({ ...penalty(mode), pre_act_loss_coefficient: 0.3 }, { dead });
    const with_ = run(one);
    one.config.pre_act_loss_coefficient = 0;
    const without = run(one).gradients.threshold!;
    one.config.pre_act_loss_coefficient = 0.3;
    const part = with_.gradients.threshold!.map((g, i) => g - without[i]!);
    expect(part.some((g) => g > 0.01)).toBe(true);
    const worst = differences(one, { ...with_.gradients, threshold: part }, () => run(one).loss);
    expect(worst.threshold).toBeLessThan(1e-6);
  }
});

/** mse_loss, and the tanh penalty in its mode, as a function of the features. */
function lossOfFeatures({ config, context, parameters, y }: Example, f: Float64Array): number {
  const { W_dec, b_dec } = parameters;
  let loss = 0;
  for (let t = 0; t < 5; t++) {
    for (let c = 0; c < 7; c++) {
      let e = b_dec![c]! - y[t * 7 + c]!;
      for (let i = 0; i < 13; i++) e += f[t * 13 + i]! * W_dec![i * 7 + c]!;
      loss += e ** 2 / 5;
    }
    if (config.jumprelu_sparsity_loss_mode !== "tanh") continue;
    for (let i = 0; i < 13; i++) {
      const norm = Math.hypot(...W_dec!.subarray(7 * i, 7 * (i + 1)));
      const saturation = Math.tanh(config.jumprelu_tanh_scale * f[t * 13 + i]! * norm);
      loss += (context.sparsity_coefficient / 5) * saturation;
    }
  }
  return loss;
}

test.each(modes)(
  "θ's estimate with %s is −(θ/ε) K ∂loss/∂f − K/ε ∂loss/∂firing, below θ at f = 0",
  (mode) => {
    const one = example({ ...penalty(mode), jumprelu_bandwidth: 1.6, jumprelu_tanh_scale: 0.2 });
    const { z, features, gradients, l0 } = run(one);
    const theta = one.parameters.threshold!;
    const perFiring = { step: 0.6 / 5, quadratic: (2 * 0.6 * (l0 / 4 - 1)) / 4 / 5, tanh: 0 }[mode];
    const expected = new Float64Array(13);
    const sides = new Set<boolean>();
    for (let at = 0; at < 65; at++) {
      const i = at % 13;
      if (!(Math.abs(z[at]! - theta[i]!) < 0.8)) continue;
      sides.add(z[at]! > theta[i]!);
      const moved = (by: number) => lossOfFeatures(one, features.with(at, features[at]! + by));
      const df = (moved(h) - moved(-h)) / (2 * h);
      expected[i]! -= (theta[i]! / 1.6) * df + perFiring / 1.6;
    }
    expect(sides.size).toBe(2);
    gradients.threshold!.forEach((g, i) => {
      expect(g).toBeCloseTo(expected[i]!, 7);
    });
  },
);

/**
 * One feature of norm 1.3, another far above its threshold, and 200 tokens whose z are spread evenly over the window
 * of the first: the box-smoothed loss ∫ L(θ') dθ'/ε then has the slope (L(θ + ε/2) − L(θ − ε/2)) / ε.
 */
function evenly(mode: (typeof modes)[number], bandwidth: number, tanhScale = 1) {
  const B = 200;
  const one = example({
    ...penalty(mode),
    architecture: "transcoder",
    base_architecture: "jumprelu",
    d_in: 1,
    d_out: 2,
    d_sae: 2,
    jumprelu_bandwidth: bandwidth,
    jumprelu_tanh_scale: tanhScale,
    target_l0: mode === "quadratic" ? 1.2 : null,
  });
  const { parameters } = one;
  parameters.W_enc!.set([1, 0]);
  parameters.b_enc!.set([0, 2]);
  parameters.threshold!.set([0.5, 1]);
  parameters.W_dec!.set([0.5, 1.2, -1, 0.3]);
  one.x = Float64Array.from({ length: B }, (_, t) => 0.5 + bandwidth * ((t + 0.5) / B - 0.5));
  one.y = Float64Array.from({ length: 2 * B }, (_, at) => (at % 2 === 0 ? 0.7 : -0.4));
  const loss = (theta: number) => {
    const moved = { ...parameters, threshold: Float64Array.of(theta, 1) };
    return run({ ...one, parameters: moved });
  };
  const above = loss(0.5 + bandwidth / 2);
  const below = loss(0.5 - bandwidth / 2);
  return {
    estimate: run(one).gradients.threshold![0]!,
    slope: (name: "loss" | "mse_loss" | "sparsity_loss") => (above[name] - below[name]) / bandwidth,
    one,
  };
}

describe("θ's estimate is the slope of the loss smoothed by a box of width ε, where that is exact", () => {
  /** The estimate without the penalty. */
  const ofMse = (mode: (typeof modes)[number], bandwidth: number) => {
    const { one } = evenly(mode, bandwidth);
    one.context.sparsity_coefficient = 0;
    return run(one).gradients.threshold![0]!;
  };

  test("the count of firings, at any width", () => {
    for (const mode of ["step", "quadratic"] as const) {
      const { estimate, slope } = evenly(mode, 0.3);
      expect(slope("sparsity_loss")).not.toBe(0);
      expect(estimate - ofMse(mode, 0.3)).toBeCloseTo(slope("sparsity_loss"), 10);
    }
  });

  test("the reconstruction, as the width goes to zero", () => {
    const off = (bandwidth: number) =>
      ofMse("step", bandwidth) / evenly("step", bandwidth).slope("mse_loss") - 1;
    expect(Math.abs(off(1e-3))).toBeLessThan(1e-3);
    expect(off(0.02) / off(0.01)).toBeCloseTo(2, 1);
  });

  test("tanh, as its argument goes to zero", () => {
    const { estimate, slope } = evenly("tanh", 1e-6, 0.01);
    const ofPenalty = estimate - ofMse("tanh", 1e-6);
    expect(ofPenalty / slope("sparsity_loss")).toBeCloseTo(1, 4);
  });
});

test("the window is open: |z − θ| = ε/2 has no gradient, z = θ does not fire and has one at f = 0", () => {
  const one = example({
    ...penalty("step"),
    d_in: 1,
    d_sae: 3,
    jumprelu_bandwidth: 0.5,
    apply_b_dec_to_input: false,
  });
  one.parameters.W_enc!.fill(0);
  one.parameters.threshold!.fill(1);
  one.parameters.b_enc!.set([1.25, 0.75, 1]);
  const { gradients, l0 } = run(one);
  expect(l0).toBe(1);
  expect([...gradients.threshold!].map((g) => g !== 0)).toEqual([false, false, true]);
});

test("θ = 0 is a ReLU: no estimate from the reconstruction, and features fire above zero", () => {
  const one = example({ ...penalty("tanh"), jumprelu_bandwidth: 2 });
  one.parameters.threshold!.fill(0);
  const { features, z, gradients } = run(one);
  expect(features).toEqual(z.map((value) => Math.max(value, 0)));
  expect(gradients.threshold!.every((g) => g === 0)).toBe(true);
  expectGradients(one);
});

test("the pre-activation loss counts dead features alone, by decoder norm", () => {
  const one = example(
    { ...penalty("step"), d_in: 1, d_sae: 3, pre_act_loss_coefficient: 0.5 },
    { dead: [0, 2] },
  );
  one.parameters.W_enc!.fill(0);
  one.parameters.threshold!.set([2, 2, 2]);
  one.parameters.b_enc!.set([-1, -1, 3]);
  one.parameters.W_dec!.set([2, 2, 2]);
  expect(run(one).aux_loss).toBeCloseTo(0.5 * 3 * 2, 12);
  one.context.dead = [];
  expect(run(one).aux_loss).toBe(0);
});

test("quadratic is zero on target and the same on both sides of it", () => {
  const loss = (l0: number) => {
    const one = example({ ...penalty("quadratic"), target_l0: 4 });
    one.parameters.W_enc!.fill(0);
    one.parameters.threshold!.fill(1);
    one.parameters.b_enc!.forEach((_, i, all) => {
      all[i] = i < l0 ? 2 : 0;
    });
    return run(one).sparsity_loss;
  };
  expect(loss(4)).toBe(0);
  expect(loss(2)).toBeCloseTo(0.6 * 0.25, 12);
  expect(loss(6)).toBeCloseTo(0.6 * 0.25, 12);
});

test("with λ = 0, and with decoder rows of zeros, nothing is NaN", () => {
  for (const mode of modes) {
    const one = example(
      { ...penalty(mode), pre_act_loss_coefficient: 0.3 },
      { dead, sparsity_coefficient: 0 },
    );
    one.parameters.W_dec!.fill(0, 0, 21);
    for (const g of Object.values(run(one).gradients)) expect(g.every(Number.isFinite)).toBe(true);
    expect(run(one).sparsity_loss).toBe(0);
  }
});
