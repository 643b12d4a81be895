import { describe, expect, test } from "vitest";
import { example, expectGradients, run } from "../reference/gradient-check.ts";

const many = [0, 2, 5, 6, 9, 12];

describe("batchtopk: gradients equal central differences, AuxK's target held", () => {
  test.each([
    { name: "main loss", overrides: {}, dead: [] },
    { name: "AuxK over more dead features than k_aux", overrides: {}, dead: many },
    { name: "AuxK over fewer, b_dec not subtracted", overrides: { apply_b_dec_to_input: false }, dead: [4] },
    { name: "k = 2.3, so that K = 11", overrides: { k: 2.3 }, dead: [] },
    { name: "more than there are positive", overrides: { k: 13 }, dead: [] },
    { name: "free decoder, ranked by its norm", overrides: { decoder_norm: "free" as const }, dead: many },
    {
      name: "free decoder, not ranked by its norm",
      overrides: { decoder_norm: "free" as const, rescale_acts_by_decoder_norm: false },
      dead: many,
    },
  ])("$name", ({ overrides, dead }) => {
    expectGradients(
      example({ architecture: "batchtopk", aux_loss_coefficient: 0.7, ...overrides }, { dead }),
    );
  });
});

/** d_in 1 and weights of one: z [5, 2] are x_t + b_enc_i, so 0, 0.5, 1, 1.5, … 4.5. */
function plain(k: number, overrides: Parameters<typeof example>[0] = {}) {
  const one = example({
    architecture: "batchtopk",
    d_in: 1,
    d_sae: 2,
    k,
    apply_b_dec_to_input: false,
    ...overrides,
  });
  one.parameters.W_enc!.fill(1);
  one.parameters.W_dec!.fill(1);
  one.parameters.b_enc!.set([0, 0.5]);
  one.parameters.b_dec!.fill(0);
  one.x.set([0, 1, 2, 3, 4]);
  return one;
}

test("keeps the floor(k B) largest of the batch, wherever they are", () => {
  const { features, l0, smallest_kept } = run(plain(0.79));
  expect([...features]).toEqual([0, 0, 0, 0, 0, 0, 0, 3.5, 4, 4.5]);
  expect({ l0, smallest_kept }).toEqual({ l0: 3 / 5, smallest_kept: 3.5 });
});

test("equals at the K-th place all stay", () => {
  const one = plain(0.4);
  one.parameters.b_enc!.fill(0);
  one.x.set([1, 3, 2, 2, 2]);
  expect([...run(one).features]).toEqual([0, 0, 3, 3, 0, 0, 0, 0, 0, 0]);
  one.context.k = 0.6;
  expect([...run(one).features]).toEqual([0, 0, 3, 3, 2, 2, 2, 2, 2, 2]);
  expect(run(one).l0).toBe(8 / 5);
});

test("only positive ones are kept, fewer than K if there are fewer; zero is not positive", () => {
  const one = plain(2);
  expect([...run(one).features]).toEqual([0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5]);
  expect(run(one)).toMatchObject({ l0: 9 / 5, smallest_kept: 0.5 });
  one.x.fill(-1);
  expect(run(one)).toMatchObject({ l0: 0, smallest_kept: null });
  expect(run(one).gradients.b_enc!.every((g) => g === 0)).toBe(true);
});

test("K = 0 keeps nothing", () => {
  expect(run(plain(0.19))).toMatchObject({ l0: 0, smallest_kept: null });
});

test("with a free decoder both the ranking and the smallest kept value are activation times norm", () => {
  const one = plain(0.4, { decoder_norm: "free" });
  one.parameters.W_dec!.set([-3, 1]);
  const { features, smallest_kept } = run(one);
  expect([...features]).toEqual([0, 0, 0, 0, 0, 0, 3, 0, 4, 0]);
  expect(smallest_kept).toBe(9);
  one.parameters.W_dec!.set([0, 1]);
  one.context.k = 2;
  expect([...run(one).features]).toEqual([0, 0.5, 0, 1.5, 0, 2.5, 0, 3.5, 0, 4.5]);
});
