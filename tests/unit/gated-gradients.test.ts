import { describe, expect, test } from "vitest";
import { differences, example, expectGradients, run } from "../reference/gradient-check.ts";

describe("gated: gradients equal central differences, the decoder of aux_loss held", () => {
  test.each([
    { name: "unit decoder (its rows here of any norm)", overrides: {} },
    { name: "free decoder", overrides: { decoder_norm: "free" as const } },
    { name: "b_dec not subtracted", overrides: { apply_b_dec_to_input: false } },
  ])("$name", ({ overrides }) => {
    expectGradients(example({ architecture: "gated", ...overrides }));
  });
});

test("aux_loss does not reach the decoder: without holding it, differences of W_dec and b_dec alone are others", () => {
  const one = example({ architecture: "gated", apply_b_dec_to_input: false });
  const worst = differences(one, run(one).gradients, () => run(one).loss);
  expect(worst.W_dec).toBeGreaterThan(0.1);
  expect(worst.b_dec).toBeGreaterThan(0.1);
  for (const name of ["W_enc", "b_gate", "b_mag", "r_mag"]) expect(worst[name], name).toBeLessThan(1e-6);
});

test("a feature fires where its gate is open and its magnitude positive", () => {
  const one = example({ architecture: "gated", d_in: 1, d_sae: 4, apply_b_dec_to_input: false });
  const { parameters } = one;
  parameters.W_enc!.fill(1);
  parameters.W_dec!.fill(1);
  parameters.b_dec!.fill(0);
  parameters.r_mag!.fill(Math.log(2));
  parameters.b_gate!.set([1, 1, -9, -9]);
  parameters.b_mag!.set([1, -9, 1, -9]);
  one.x.fill(3);
  const { features, l0, mse_loss, aux_loss, sparsity_loss } = run(one);
  expect(Array.from(features.subarray(0, 4), (f) => Math.round(1e9 * f) / 1e9)).toEqual([7, 0, 0, 0]);
  expect(l0).toBe(1);
  // x̂ = 7, and of the two open gates x̂_a = 4 + 4.
  expect(mse_loss).toBeCloseTo(16, 9);
  expect(aux_loss).toBeCloseTo(25, 9);
  expect(sparsity_loss).toBeCloseTo(0.6 * 8, 9);
});

test("the penalty and aux_loss reach the gate even where the magnitude is negative", () => {
  const one = example({ architecture: "gated" });
  one.parameters.b_mag!.fill(-1e3);
  const { l0, gradients } = run(one);
  expect(l0).toBe(0);
  expect(gradients.b_gate!.some((g) => g !== 0)).toBe(true);
  for (const name of ["b_mag", "r_mag"]) expect(gradients[name]!.every((g) => g === 0)).toBe(true);
});

test("a decoder row of zeros brings no NaN", () => {
  const one = example({ architecture: "gated" });
  one.parameters.W_dec!.fill(0, 14, 21);
  for (const g of Object.values(run(one).gradients)) expect(g.every(Number.isFinite)).toBe(true);
});
