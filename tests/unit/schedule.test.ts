import { describe, expect, test } from "vitest";
import { type TrainingConfigInput, trainingConfigSchema } from "../../gpu/sae/config.ts";
import {
  deadFeatureWindow,
  kAt,
  learningRate,
  lrDecaySteps,
  lrWarmUpSteps,
  nominalAuxK,
  peakLearningRate,
  sparsityCoefficient,
  targetGain,
  targetHorizon,
} from "../../gpu/sae/schedule.ts";

/** A run of 10 steps, unless its tokens say otherwise. */
const config = (overrides: Partial<TrainingConfigInput>) =>
  trainingConfigSchema.parse({
    d_in: 4,
    d_sae: 8,
    k: 1,
    lr: 0.5,
    train_batch_size_tokens: 10,
    training_tokens: 100,
    ...overrides,
  });
const steps = Array.from({ length: 10 }, (_, step) => step);

describe("learning rate", () => {
  const rates = (lr_warm_up_steps: number, lr_decay_steps: number, more: Partial<TrainingConfigInput> = {}) =>
    steps.map((step) => learningRate(config({ lr_warm_up_steps, lr_decay_steps, ...more }), step) / 0.5);

  const expectRates = (actual: number[], expected: number[]) => {
    expect(actual).toHaveLength(expected.length);
    actual.forEach((rate, at) => void expect(rate, `step ${at}`).toBeCloseTo(expected[at]!, 12));
  };

  test("without warm-up and decay the rate is constant", () => {
    expect(rates(0, 0)).toEqual(new Array(10).fill(1));
  });

  test("warm-up rises from 1/W to the whole rate at step W − 1", () => {
    expect(rates(4, 0)).toEqual([0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1]);
  });

  test("decay falls over the last D steps, and would be zero at the step after the last", () => {
    expect(rates(0, 5)).toEqual([1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]);
    const falling = config({ lr_warm_up_steps: 0, lr_decay_steps: 5 });
    expect([learningRate(falling, 10), learningRate(falling, 11)]).toEqual([0, 0]);
  });

  test("the two may meet", () => {
    expect(rates(5, 5)).toEqual([0.2, 0.4, 0.6, 0.8, 1, 1, 0.8, 0.6, 0.4, 0.2]);
  });

  test("automatic lengths: 5 % of the run, 1,000 at most, and the last 20 %", () => {
    const auto = (training_tokens: number) => {
      const run = config({ training_tokens });
      return [lrWarmUpSteps(run), lrDecaySteps(run)];
    };
    expect(auto(100)).toEqual([0, 2]);
    expect(auto(2_009)).toEqual([10, 40]);
    expect(auto(1_000_000)).toEqual([1_000, 20_000]);
    expect(lrWarmUpSteps(config({ lr_warm_up_steps: 3 }))).toBe(3);
    expect(lrDecaySteps(config({ lr_decay_steps: 0 }))).toBe(0);
    expectRates(
      steps.map((step) => learningRate(config({}), step) / 0.5),
      [1, 1, 1, 1, 1, 1, 1, 1, 1, 0.5],
    );
  });

  const half = (place: number, end: number) => end + ((1 - end) * (1 + Math.cos(Math.PI * place))) / 2;

  test("a cosine falls from lr to lr_end between warm-up and decay, which goes on from there", () => {
    const cosine = { lr_scheduler_name: "cosineannealing", lr_end: 0.25, n_restart_cycles: 5 } as const;
    const falling = [0, 1, 2, 3, 4, 5].map((at) => half(at / 6, 0.5));
    expectRates(rates(2, 2, cosine), [0.5, 1, ...falling, 0.5, 0.25]);
    expectRates(
      rates(0, 0, cosine),
      steps.map((at) => half(at / 10, 0.5)),
    );
    expect(learningRate(config({ ...cosine, lr_warm_up_steps: 0, lr_decay_steps: 0 }), 10)).toBeCloseTo(
      0.25,
      12,
    );
  });

  test("lr_end left out is a tenth of lr", () => {
    expectRates(
      rates(0, 0, { lr_scheduler_name: "cosineannealing" }),
      steps.map((at) => half(at / 10, 0.1)),
    );
  });

  test("with restarts equal parts each fall from lr", () => {
    const restarts = { lr_scheduler_name: "cosineannealingwarmrestarts", n_restart_cycles: 2 } as const;
    const cycle = [0, 1, 2, 3].map((at) => half(at / 4, 0.1));
    expectRates(rates(1, 1, restarts), [1, ...cycle, ...cycle, 0.1]);
  });

  test("cosines without a step between warm-up and decay are still finite", () => {
    const rate = rates(5, 5, { lr_scheduler_name: "cosineannealing" });
    expect(rate.every((value) => value > 0 && value <= 1)).toBe(true);
  });

  test("scale_lr_with_width multiplies by √(16,384 / d_sae)", () => {
    expect(rates(0, 0, { scale_lr_with_width: true })[3]).toBeCloseTo(Math.sqrt(16_384 / 8), 12);
    expect(rates(0, 0, { scale_lr_with_width: true, d_sae: 16_384 })[3]).toBe(1);
  });
});

test("a learning rate that is not given falls with the root of the width, from 10⁻³", () => {
  expect(peakLearningRate({ lr: null, d_sae: 16_384 })).toBe(2e-4);
  expect(peakLearningRate({ lr: null, d_sae: 4_096 })).toBe(4e-4);
  expect(peakLearningRate({ lr: null, d_sae: 256 })).toBe(1e-3);
  expect(peakLearningRate({ lr: 3e-4, d_sae: 256 })).toBe(3e-4);
  const step = learningRate(config({ lr: null, d_sae: 16_384, lr_warm_up_steps: 0 }), 0);
  expect(step).toBe(2e-4);
});

describe("steering", () => {
  const over = (steps: number, target_l0_gain: number | null = null) =>
    config({ train_batch_size_tokens: 1, training_tokens: steps, target_l0_gain });

  test("may move the coefficient by a factor of e⁵ in a short run, and no slower than published in a long one", () => {
    expect(targetGain(over(5_000))).toBe(1e-3);
    expect(targetGain(over(200_000))).toBe(3e-4);
    expect(targetGain(over(10))).toBe(0.05);
    expect(targetGain(over(10, 0.2))).toBe(0.2);
  });

  test("takes the trend of 5 % of the run", () => {
    expect(targetHorizon(over(5_000))).toBe(250);
    expect(targetHorizon(over(10))).toBe(20);
    expect(targetHorizon(over(1e6))).toBe(1_000);
  });
});

describe("sparsity coefficient", () => {
  const at = (overrides: Partial<TrainingConfigInput>) =>
    [0, 1, 2, 5, 50, 99].map((step) =>
      sparsityCoefficient(config({ training_tokens: 1_000, ...overrides }), step),
    );

  test("rises linearly from zero at the first step, over 5 % of the run unless given", () => {
    for (const architecture of ["standard", "gated"] as const) {
      expect(at({ architecture, l1_coefficient: 2 })).toEqual([0, 0.4, 0.8, 2, 2, 2]);
      expect(at({ architecture, l1_coefficient: 2, l1_warm_up_steps: 2 })).toEqual([0, 1, 2, 2, 2, 2]);
      expect(at({ architecture, l1_coefficient: 2, l1_warm_up_steps: 0 })).toEqual([2, 2, 2, 2, 2, 2]);
    }
  });

  test("rises to 5, or to 1 where it is only the start of steering", () => {
    for (const architecture of ["standard", "gated"] as const) {
      expect(at({ architecture })[5]).toBe(5);
      expect(at({ architecture, target_l0: 3 })[5]).toBe(1);
      expect(at({ architecture, target_l0: 3, l1_coefficient: 2 })[5]).toBe(2);
    }
  });

  test("of jumprelu's penalties tanh takes the whole run, unless it is steered", () => {
    const jumprelu = { architecture: "jumprelu", l0_coefficient: 2 } as const;
    expect(at({ ...jumprelu, jumprelu_sparsity_loss_mode: "step" })).toEqual([0, 0.4, 0.8, 2, 2, 2]);
    expect(at({ ...jumprelu, jumprelu_sparsity_loss_mode: "quadratic", target_l0: 2 })).toEqual([
      0, 0.4, 0.8, 2, 2, 2,
    ]);
    const tanh = at({ ...jumprelu, jumprelu_sparsity_loss_mode: "tanh" });
    [0, 0.02, 0.04, 0.1, 1, 1.98].forEach((value, i) => void expect(tanh[i]).toBeCloseTo(value, 12));
    expect(at({ ...jumprelu, target_l0: 2 })).toEqual([0, 0.4, 0.8, 2, 2, 2]);
    expect(at({ ...jumprelu, l0_warm_up_steps: 2 })).toEqual([0, 1, 2, 2, 2, 2]);
  });

  test("follows the base of transcoders and crosscoders, and is zero where nothing is penalised", () => {
    const given = { l1_coefficient: 2, l1_warm_up_steps: 0 };
    expect(at({ ...given, architecture: "crosscoder" })).toEqual([2, 2, 2, 2, 2, 2]);
    expect(at({ ...given, architecture: "transcoder", base_architecture: "gated" })[0]).toBe(2);
    for (const architecture of ["topk", "batchtopk", "matryoshka_batchtopk", "transcoder"] as const) {
      expect(at({ ...given, architecture })).toEqual([0, 0, 0, 0, 0, 0]);
    }
  });
});

describe("k", () => {
  const at = (overrides: Partial<TrainingConfigInput>) =>
    [0, 1, 2, 3, 4, 5].map((step) => kAt(config({ k: 2, ...overrides }), step));

  test("is constant unless annealed", () => {
    expect(at({})).toEqual([2, 2, 2, 2, 2, 2]);
    expect(at({ k_anneal_from: 8 })).toEqual([2, 2, 2, 2, 2, 2]);
  });

  test("falls linearly; whole for topk alone", () => {
    const annealed = { k_anneal_from: 8, k_anneal_steps: 4 };
    expect(at({ ...annealed, architecture: "batchtopk" })).toEqual([8, 6.5, 5, 3.5, 2, 2]);
    expect(at(annealed)).toEqual([8, 7, 5, 4, 2, 2]);
    expect(at({ ...annealed, architecture: "transcoder" })).toEqual([8, 7, 5, 4, 2, 2]);
  });
});

test("a feature is dead after 5 % of the training tokens, 10 million at most, unless given", () => {
  const window = (overrides: Partial<TrainingConfigInput>) => deadFeatureWindow(config(overrides));
  expect(window({ training_tokens: 10_019 })).toBe(500);
  expect(window({ training_tokens: 1e12 })).toBe(10_000_000);
  expect(window({ training_tokens: 10 })).toBe(1);
  expect(window({ dead_feature_window_tokens: 77 })).toBe(77);
});

test("k_aux is half of what is reconstructed, 512 at most, at least 1, unless given; d_sae bounds it", () => {
  const aux = (overrides: Partial<TrainingConfigInput>) =>
    nominalAuxK(config({ d_sae: 4_096, ...overrides }));
  expect([4, 7, 1, 4_000].map((d_in) => aux({ d_in }))).toEqual([2, 3, 1, 512]);
  expect(aux({ architecture: "transcoder", d_out: 20 })).toBe(10);
  expect(aux({ architecture: "crosscoder", base_architecture: "topk", n_hook_points: 3 })).toBe(6);
  expect([aux({ k_aux: 900 }), aux({ k_aux: 900, d_sae: 8 })]).toEqual([900, 8]);
  expect([aux({ aux_loss_coefficient: 0 }), aux({ architecture: "standard" })]).toEqual([0, 0]);
});
