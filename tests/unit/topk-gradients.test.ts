import { describe, expect, test } from "vitest";
import { differences, type Example, example, expectGradients, run } from "../reference/gradient-check.ts";
import { largest } from "../reference/oracle.ts";

const all = Array.from({ length: 13 }, (_, i) => i);
const many = [0, 2, 5, 6, 9, 12];
const few = [4, 11];

describe("topk: gradients equal central differences, AuxK's target held", () => {
  test.each([
    { name: "main loss", overrides: {}, dead: [] },
    { name: "AuxK over more dead features than k_aux", overrides: {}, dead: many },
    { name: "AuxK over fewer", overrides: {}, dead: few },
    { name: "every feature dead", overrides: {}, dead: all },
    {
      name: "k_aux and coefficient given",
      overrides: { k_aux: 4, aux_loss_coefficient: 1 / 32 },
      dead: many,
    },
    { name: "b_dec not subtracted", overrides: { apply_b_dec_to_input: false }, dead: [1, 3] },
    { name: "k = d_sae, so that some selected are negative", overrides: { k: 13 }, dead: [] },
    { name: "Multi-TopK", overrides: { multi_topk: true }, dead: few },
    { name: "Multi-TopK with 4k beyond d_sae", overrides: { multi_topk: true, k: 5 }, dead: many },
    { name: "free decoder, ranked by its norm", overrides: { decoder_norm: "free" as const }, dead: many },
    {
      name: "free decoder, not ranked by its norm",
      overrides: { decoder_norm: "free" as const, rescale_acts_by_decoder_norm: false },
      dead: many,
    },
    {
      name: "free decoder, Multi-TopK",
      overrides: { decoder_norm: "free" as const, multi_topk: true, k: 2 },
      dead: few,
    },
  ])("$name", ({ overrides, dead }) => {
    expectGradients(example({ aux_loss_coefficient: 0.7, ...overrides }, { dead }));
  });
});

test("AuxK's residual is a constant: differences without holding it are others", () => {
  const one = example({}, { dead: many });
  const worst = differences(one, run(one).gradients, () => run(one).loss);
  expect(worst.b_dec).toBeGreaterThan(0.1);
});

/** d_in 1 and weights of one, so that z_i = x + b_enc_i. */
function plain(b_enc: number[], overrides: Parameters<typeof example>[0] = {}, dead: number[] = []): Example {
  const one = example(
    { d_in: 1, d_sae: b_enc.length, k: 2, apply_b_dec_to_input: false, ...overrides },
    { dead },
  );
  one.parameters.W_enc!.fill(1);
  one.parameters.W_dec!.fill(1);
  one.parameters.b_enc!.set(b_enc);
  one.parameters.b_dec!.fill(0);
  one.x.fill(0);
  return one;
}

const first = (of: Example) => Array.from(run(of).features.subarray(0, of.config.d_sae));

test("keeps the k largest, ties to the lower feature, and what is kept below zero does not fire", () => {
  expect(first(plain([1, 3, 2, 3, 3]))).toEqual([0, 3, 0, 3, 0]);
  const one = plain([-1, 3, -2, -3, -4]);
  expect(first(one)).toEqual([0, 3, 0, 0, 0]);
  expect(run(one).l0).toBe(1);
  expect([...run(one).gradients.b_enc!].map((g) => g !== 0)).toEqual([false, true, false, false, false]);
  expect(largest([5, 1, 5, 2, 5], [0, 1, 2, 3, 4], 2)).toEqual([0, 2]);
});

test("with a free decoder the ranking is by activation times norm, the activation itself stays", () => {
  const one = plain([1, 3, 2, 4], { decoder_norm: "free" });
  one.parameters.W_dec!.set([9, 1, 4, -0.1]);
  expect(first(one)).toEqual([1, 0, 2, 0]);
  one.config.rescale_acts_by_decoder_norm = false;
  expect(first(one)).toEqual([0, 3, 0, 4]);
  one.config.rescale_acts_by_decoder_norm = true;
  one.config.decoder_norm = "unit";
  expect(first(one)).toEqual([0, 3, 0, 4]);
});

test("AuxK ranks as the main selection does, and adds z itself", () => {
  const one = plain([9, 1, 2], { decoder_norm: "free", k: 1, k_aux: 1, aux_loss_coefficient: 1 }, [1, 2]);
  one.parameters.W_dec!.set([1, 5, 2]);
  expect(run(one).aux_loss).toBeCloseTo((9 + 1 * 5) ** 2, 12);
  one.config.rescale_acts_by_decoder_norm = false;
  expect(run(one).aux_loss).toBeCloseTo((9 + 2 * 2) ** 2, 12);
});

test("AuxK's scale rises with the number of dead features up to k_aux, and without any there is no loss", () => {
  const aux = (dead: number[]) => run(plain([5, 4, 1, -2, 3], { k: 1, k_aux: 2 }, dead)).aux_loss;
  // x̂ = e = 5 with the first feature alone; each dead feature adds its z, negative ones too.
  expect(aux([])).toBe(0);
  expect(aux([3])).toBeCloseTo(0.5 * (5 - 2) ** 2, 12);
  expect(aux([2, 3])).toBeCloseTo((5 + 1 - 2) ** 2, 12);
  expect(aux([2, 3, 4])).toBeCloseTo((5 + 1 + 3) ** 2, 12);
  expect(run(plain([5, 4], { aux_loss_coefficient: 0 }, [0, 1])).aux_loss).toBe(0);
});

test("Multi-TopK adds an eighth of the loss with 4k features", () => {
  const b_enc = [5, 4, 3, 2, 1, 0.5];
  const { mse_loss, aux_loss, l0 } = run(plain(b_enc, { k: 1, multi_topk: true }));
  expect(mse_loss).toBeCloseTo(25, 12);
  expect(aux_loss).toBeCloseTo((5 + 4 + 3 + 2) ** 2 / 8, 12);
  expect(l0).toBe(1);
});

test("a token equal to b_dec and features that fire on none, or on all, are nothing special", () => {
  const one = example({ aux_loss_coefficient: 0.7 }, { dead: few });
  one.x.set(one.parameters.b_dec!, 7);
  one.parameters.b_enc![3] = 30;
  one.parameters.b_enc![8] = -30;
  const { features, gradients } = run(one);
  const fired = (i: number) => [0, 1, 2, 3, 4].filter((t) => features[t * 13 + i]! > 0).length;
  expect([fired(3), fired(8)]).toEqual([5, 0]);
  expect(gradients.W_enc!.subarray(56, 63).every((g) => g === 0)).toBe(true);
  expectGradients(one);
});
