import { describe, expect, test } from "vitest";
import { architectures } from "../../gpu/sae/architecture.ts";
import type { TrainingConfigInput } from "../../gpu/sae/config.ts";
import { learningRate, sparsityCoefficient } from "../../gpu/sae/schedule.ts";
import { example } from "../reference/gradient-check.ts";
import { newState, type Parameters, trainStep, varianceMetrics } from "../reference/oracle.ts";

/** A state, its batch, and steps from 0; the rate is constant unless told otherwise. */
function training(overrides: Partial<TrainingConfigInput> = {}) {
  const { config, parameters, x, y } = example({
    lr: 0.01,
    lr_warm_up_steps: 0,
    lr_decay_steps: 0,
    grad_clip_norm: null,
    training_tokens: 10_000,
    train_batch_size_tokens: 5,
    ...overrides,
  });
  const state = newState(config, parameters);
  return {
    config,
    before: parameters,
    state,
    x,
    y,
    step: (at: number) => trainStep(state, x, y, config, at),
  };
}

const flat = (of: Parameters) => Object.keys(of).flatMap((name) => Array.from(of[name]!));
const rows = (W: Float64Array) => Array.from({ length: 13 }, (_, i) => W.subarray(7 * i, 7 * (i + 1)));

describe("a whole step of the reference", () => {
  test.each(architectures)(
    "%s: 200 steps lower the loss on their own batch, and the parts add up",
    (architecture) => {
      const run = training({ architecture, ...(architecture === "crosscoder" && { n_hook_points: 2 }) });
      const first = run.step(0);
      let last = first;
      for (let at = 1; at < 200; at++) last = run.step(at);
      expect(last.mse_loss).toBeLessThan(first.mse_loss / 4);
      expect(last.fvu).toBeLessThan(first.fvu / 4);
      expect(last.loss).toBeCloseTo(last.mse_loss + last.sparsity_loss + last.aux_loss, 12);
      expect(flat(run.state.parameters).every(Number.isFinite)).toBe(true);
    },
  );

  test("Adam's first step is the rate against the sign of every gradient that is not tiny", () => {
    const run = training({ decoder_norm: "free", adam_epsilon: 1e-12 });
    const { gradients } = run.step(0);
    const moved = flat(run.state.parameters).map((value, at) => value - flat(run.before)[at]!);
    flat(gradients).forEach((g, at) => {
      expect(moved[at]).toBeCloseTo(g === 0 ? 0 : -0.01 * Math.sign(g), 9);
    });
  });

  test("Adam's second step is torch's: bias-corrected, ε outside the root", () => {
    const run = training({ decoder_norm: "free", adam_epsilon: 0.1, adam_beta1: 0.5, adam_beta2: 0.75 });
    const g0 = run.step(0).gradients.b_dec![0]!;
    const between = run.state.parameters.b_dec![0]!;
    const g1 = run.step(1).gradients.b_dec![0]!;
    const mean = (0.25 * g0 + 0.5 * g1) / 0.75;
    const square = (0.75 * 0.25 * g0 ** 2 + 0.25 * g1 ** 2) / (1 - 0.75 ** 2);
    const expected = between - (0.01 * mean) / (Math.sqrt(square) + 0.1);
    expect(run.state.parameters.b_dec![0]).toBeCloseTo(expected, 12);
  });

  test("the gradient of all parameters together is clipped, and its norm told before", () => {
    const open = training({ decoder_norm: "free" });
    const { gradients, grad_norm } = open.step(0);
    expect(grad_norm).toBeCloseTo(Math.hypot(...flat(gradients)), 10);
    const clipped = training({ decoder_norm: "free", grad_clip_norm: grad_norm / 4 });
    expect(clipped.step(0).grad_norm).toBe(grad_norm);
    flat(clipped.state.m).forEach((m, at) => {
      expect(m).toBeCloseTo(flat(open.state.m)[at]! / 4, 7);
    });
    const loose = training({ decoder_norm: "free", grad_clip_norm: 2 * grad_norm });
    loose.step(0);
    expect(loose.state).toEqual(open.state);
  });

  test("a unit decoder: gradients have nothing along their rows, rows keep norm 1, rows of zeros stay", () => {
    const run = training({ decoder_norm: "unit" });
    const { W_dec } = run.state.parameters;
    for (const row of rows(W_dec!)) {
      const norm = Math.hypot(...row);
      for (let c = 0; c < 7; c++) row[c]! /= norm;
    }
    rows(W_dec!)[12]!.fill(0);
    rows(run.before.W_dec!).forEach((row, i) => void row.set(rows(W_dec!)[i]!));
    run.state.parameters.b_enc![12] = -1e3;
    const { gradients } = run.step(0);
    rows(gradients.W_dec!).forEach((g, i) => {
      expect(g.reduce((sum, value, c) => sum + value * rows(run.before.W_dec!)[i]![c]!, 0)).toBeCloseTo(
        0,
        12,
      );
    });
    rows(W_dec!).forEach((row, i) => {
      expect(Math.hypot(...row)).toBeCloseTo(i === 12 ? 0 : 1, 12);
    });
    expect(gradients.W_enc!.some((g) => g !== 0)).toBe(true);
  });

  test("a free decoder is neither projected nor renormalised", () => {
    const run = training({ decoder_norm: "free" });
    const { gradients } = run.step(0);
    const along = rows(gradients.W_dec!).map((g, i) =>
      g.reduce((sum, value, c) => sum + value * rows(run.before.W_dec!)[i]![c]!, 0),
    );
    expect(along.some((value) => Math.abs(value) > 0.01)).toBe(true);
    expect(rows(run.state.parameters.W_dec!).some((row) => Math.abs(Math.hypot(...row) - 1) > 0.1)).toBe(
      true,
    );
  });

  test("features count the tokens of silence, and are dead beyond the window at the start of a step", () => {
    const run = training({ dead_feature_window_tokens: 9, aux_loss_coefficient: 0, lr: 1e-6 });
    run.state.parameters.b_enc!.set([1e3, -1e3]);
    expect(run.step(0).dead).toEqual([]);
    expect([...run.state.tokens_since_fired.subarray(0, 2)]).toEqual([0, 5]);
    expect(run.step(1).dead).toEqual([]);
    expect(run.step(2).dead).toContain(1);
    expect([...run.state.tokens_since_fired.subarray(0, 2)]).toEqual([0, 15]);
  });

  test("a window is exceeded, not reached", () => {
    const run = training({ dead_feature_window_tokens: 10, lr: 1e-6 });
    run.state.parameters.b_enc![1] = -1e3;
    expect([0, 1, 2, 3].map((at) => run.step(at).dead.includes(1))).toEqual([false, false, false, true]);
  });

  test("the mean of the weights begins at the first ones", () => {
    const run = training({ ema_decay: 0.9 });
    run.step(0);
    flat(run.state.ema!).forEach((mean, at) => {
      expect(mean).toBeCloseTo(0.9 * flat(run.before)[at]! + 0.1 * flat(run.state.parameters)[at]!, 12);
    });
    expect(training().state.ema).toBeNull();
  });

  test("θ does not fall below zero, whatever its moments say", () => {
    const run = training({
      architecture: "jumprelu",
      lr: 0.5,
      l0_coefficient: 0,
      jumprelu_bandwidth: 4,
      pre_act_loss_coefficient: 0,
    });
    const { gradients } = run.step(0);
    const { threshold } = run.state.parameters;
    const falling = [...gradients.threshold!.keys()].filter(
      (i) => gradients.threshold![i]! > 0 && run.before.threshold![i]! < 0.4,
    );
    expect(falling.length).toBeGreaterThan(0);
    for (const i of falling) expect(threshold![i]).toBe(0);
  });

  test("the threshold for inference follows the smallest kept value, from zero and uncorrected", () => {
    const run = training({ architecture: "batchtopk", topk_threshold_lr: 0.25 });
    const first = run.step(0).smallest_kept!;
    expect(run.state.threshold_mean).toBeCloseTo(0.25 * first, 12);
    const second = run.step(1).smallest_kept!;
    expect(run.state.threshold_mean).toBeCloseTo(0.75 * 0.25 * first + 0.25 * second, 12);
    run.state.parameters.b_enc!.fill(-1e3);
    const kept = run.state.threshold_mean;
    expect(run.step(2).smallest_kept).toBeNull();
    expect(run.state.threshold_mean).toBe(kept);
  });

  test("k and λ are those of the step's schedule", () => {
    const annealed = training({ k: 3, k_anneal_from: 9, k_anneal_steps: 3 });
    expect([0, 1, 2, 3].map((at) => annealed.step(at).k)).toEqual([9, 7, 5, 3]);
    const warmed = training({ architecture: "standard", l1_coefficient: 2, l1_warm_up_steps: 4 });
    expect([0, 1, 4].map((at) => warmed.step(at).sparsity_coefficient)).toEqual([0, 0.5, 2]);
    expect(warmed.step(5).lr).toBe(learningRate(warmed.config, 5));
  });

  test("fvu and explained variance are of the whole error, against the target", () => {
    const run = training({ architecture: "transcoder", d_out: 5 });
    const step = run.step(0);
    expect({ fvu: step.fvu, explained_variance: step.explained_variance }).toEqual(
      varianceMetrics(run.y, step.error, 5),
    );
  });

  test("parameters that do not fit the configuration are refused", () => {
    const { config, before } = training();
    expect(() => newState(config, { ...before, threshold: new Float64Array(13) })).toThrow("do not fit");
  });
});

test("variance metrics: exact, mean alone, and a constant offset", () => {
  const y = Float64Array.of(1, 2, 3, 6);
  expect(varianceMetrics(y, new Float64Array(4), 2)).toEqual({ fvu: 0, explained_variance: 1 });
  // Reconstructing with the mean (2, 4).
  expect(varianceMetrics(y, Float64Array.of(1, 2, -1, -2), 2)).toEqual({ fvu: 1, explained_variance: 0 });
  // Off by 1 everywhere: an error of the mean is no variance, but it is unexplained.
  expect(varianceMetrics(y, Float64Array.of(1, 1, 1, 1), 2)).toEqual({ fvu: 0.4, explained_variance: 1 });
});

describe("steering towards target_l0", () => {
  const steered = { architecture: "standard", l1_coefficient: 0.01, l1_warm_up_steps: 0 } as const;

  test("log multiplier moves by gain · tanh(3 (2 F − S − ln target)), both means starting at the first L0", () => {
    const run = training({ ...steered, target_l0: 4, target_l0_gain: 0.02 });
    const first = run.step(0);
    expect(first.sparsity_coefficient).toBe(0.01);
    const q = Math.log(first.l0);
    expect(run.state).toMatchObject({ log_l0: q, log_l0_slow: q });
    const pushed = 0.02 * Math.tanh(3 * (q - Math.log(4)));
    expect(run.state.log_multiplier).toBeCloseTo(pushed, 14);
    const second = run.step(1);
    expect(second.sparsity_coefficient).toBeCloseTo(0.01 * Math.exp(pushed), 14);
    const fast = 0.9 * q + 0.1 * Math.log(second.l0);
    // The horizon is 100 of the run's 2,000 steps.
    const slow = 0.99 * q + 0.01 * Math.log(second.l0);
    expect(run.state.log_l0).toBeCloseTo(fast, 12);
    expect(run.state.log_l0_slow).toBeCloseTo(slow, 12);
    expect(run.state.log_multiplier).toBeCloseTo(
      pushed + 0.02 * Math.tanh(3 * (2 * fast - slow - Math.log(4))),
      14,
    );
  });

  test("it stays within a factor 1,000", () => {
    const run = training({ ...steered, target_l0: 0.001, target_l0_gain: 1, lr: 1e-9 });
    for (let at = 0; at < 9; at++) run.step(at);
    expect(run.state.log_multiplier).toBe(Math.log(1e3));
    const down = training({ ...steered, target_l0: 13, target_l0_gain: 1, lr: 1e-9 });
    for (let at = 0; at < 9; at++) down.step(at);
    expect(down.state.log_multiplier).toBe(Math.log(1e-3));
  });

  test.each([
    { architecture: "jumprelu", jumprelu_sparsity_loss_mode: "quadratic", target_l0: 4, l0_warm_up_steps: 0 },
    { architecture: "standard", target_l0: null, l1_warm_up_steps: 0 },
    { architecture: "topk", target_l0: 4 },
  ] as const)("nothing is steered with $architecture, $target_l0", (overrides) => {
    const run = training(overrides);
    run.state.log_multiplier = 1;
    const { sparsity_coefficient } = run.step(0);
    expect(sparsity_coefficient).toBe(sparsityCoefficient(run.config, 0));
    expect(run.state).toMatchObject({ log_l0: 0, log_l0_slow: 0, log_multiplier: 1 });
  });
});
