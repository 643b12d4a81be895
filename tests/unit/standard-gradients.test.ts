import { describe, expect, test } from "vitest";
import { example, expectGradients, run } from "../reference/gradient-check.ts";

describe("standard: gradients equal central differences", () => {
  test.each([
    { name: "free decoder", overrides: {} },
    { name: "free decoder, b_dec not subtracted", overrides: { apply_b_dec_to_input: false } },
    { name: "lp_norm 2", overrides: { lp_norm: 2 } },
    { name: "lp_norm 1.5, b_dec not subtracted", overrides: { lp_norm: 1.5, apply_b_dec_to_input: false } },
    { name: "unit decoder (its rows here of any norm)", overrides: { decoder_norm: "unit" as const } },
  ])("$name", ({ overrides }) => {
    expectGradients(example({ architecture: "standard", ...overrides }));
  });
});

test("the penalty is λ/B Σ_t ‖f ⊙ ‖W_dec‖‖_p", () => {
  for (const lp_norm of [1, 2, 3]) {
    const one = example({ architecture: "standard", lp_norm });
    const { features, sparsity_loss } = run(one);
    const norm = (i: number) => Math.hypot(...one.parameters.W_dec!.subarray(7 * i, 7 * (i + 1)));
    let sum = 0;
    for (let t = 0; t < 5; t++) {
      const u = Array.from(features.subarray(13 * t, 13 * (t + 1)), (f, i) => (f * norm(i)) ** lp_norm);
      sum += u.reduce((a, b) => a + b) ** (1 / lp_norm);
    }
    expect(sparsity_loss).toBeCloseTo((0.6 / 5) * sum, 12);
  }
});

test("with λ = 0 the penalty adds nothing", () => {
  const one = example({ architecture: "standard" }, { sparsity_coefficient: 0 });
  expect(run(one)).toMatchObject({ sparsity_loss: 0, aux_loss: 0 });
  expectGradients(one);
});

test.each([1, 2])("silent tokens add nothing to a penalty of lp_norm %i", (lp_norm) => {
  const one = example({ architecture: "standard", lp_norm });
  one.parameters.b_enc!.fill(-1e3);
  const { sparsity_loss, gradients, l0 } = run(one);
  expect({ sparsity_loss, l0 }).toEqual({ sparsity_loss: 0, l0: 0 });
  for (const name of ["W_enc", "W_dec", "b_enc"]) expect(gradients[name]!.every((g) => g === 0)).toBe(true);
  expect(gradients.b_dec!.every((g) => g !== 0)).toBe(true);
});

test("a decoder row of zeros has no gradient of its norm, and no NaN", () => {
  for (const lp_norm of [1, 2]) {
    const one = example({ architecture: "standard", lp_norm });
    one.parameters.W_dec!.fill(0, 14, 21);
    const { gradients, features, error } = run(one);
    for (const g of Object.values(gradients)) expect(g.every(Number.isFinite)).toBe(true);
    for (let c = 0; c < 7; c++) {
      let expected = 0;
      for (let t = 0; t < 5; t++) expected += (2 / 5) * features[t * 13 + 2]! * error[t * 7 + c]!;
      expect(gradients.W_dec![14 + c]).toBeCloseTo(expected, 12);
    }
    expect(gradients.b_enc![2]).toBe(0);
  }
});

test("firing features whose rows are all zeros are no penalty, and no NaN", () => {
  for (const lp_norm of [1, 2]) {
    const one = example({ architecture: "standard", lp_norm });
    one.parameters.W_dec!.fill(0);
    const { gradients, sparsity_loss, l0 } = run(one);
    expect(l0).toBeGreaterThan(0);
    expect(sparsity_loss).toBe(0);
    for (const g of Object.values(gradients)) expect(g.every(Number.isFinite)).toBe(true);
  }
});
