import { describe, expect, test } from "vitest";
import { baseArchitectures } from "../../gpu/sae/architecture.ts";
import { example, expectGradients, run } from "../reference/gradient-check.ts";

const architecture = "crosscoder" as const;
const dead = [0, 2, 5, 6, 9, 12];

describe("crosscoder: gradients equal central differences", () => {
  test.each(baseArchitectures)("over %s", (base_architecture) => {
    expectGradients(
      example(
        { architecture, base_architecture, n_hook_points: 3, d_in: 5, pre_act_loss_coefficient: 0.3 },
        { dead },
      ),
    );
  });

  test.each([
    { name: "b_dec subtracted", overrides: { apply_b_dec_to_input: true } },
    { name: "lp_norm 2", overrides: { lp_norm: 2 } },
    { name: "unit decoder", overrides: { decoder_norm: "unit" as const } },
  ])("over standard, $name", ({ overrides }) => {
    expectGradients(example({ architecture, n_hook_points: 2, ...overrides }));
  });
});

test("penalty and ranking take the sum of the hook points' norms, TopK's ranking none", () => {
  const over = { architecture, n_hook_points: 2, d_in: 1, d_sae: 2, k: 1 };
  const one = example({ ...over, base_architecture: "standard" }, { sparsity_coefficient: 0.5 });
  one.parameters.W_enc!.fill(0);
  one.parameters.b_enc!.set([2, -1]);
  one.parameters.W_dec!.set([3, -4, 1, 1]);
  expect(run(one).sparsity_loss).toBeCloseTo(0.5 * 2 * 7, 12);

  for (const [base_architecture, kept] of [
    ["batchtopk", 0],
    ["topk", 1],
  ] as const) {
    const ranked = example({ ...over, base_architecture });
    ranked.parameters.W_enc!.fill(0);
    ranked.parameters.b_enc!.set([1, 1.05]);
    // Norms 4 and 5 of whole rows, 5.66 and 5 of sums.
    ranked.parameters.W_dec!.set([Math.sqrt(8), Math.sqrt(8), 5, 0]);
    const [first, second] = run(ranked).features;
    expect([first! > 0, second! > 0], base_architecture).toEqual([kept === 0, kept === 1]);
  }
});

test("a hook point that a feature does not write to has no gradient of its norm", () => {
  const one = example({ architecture, n_hook_points: 2, d_in: 3 }, { sparsity_coefficient: 0.5 });
  one.parameters.W_dec!.fill(0, 12, 15);
  const penalised = run(one).gradients.W_dec!;
  one.context.sparsity_coefficient = 0;
  const without = run(one).gradients.W_dec!;
  for (let c = 0; c < 3; c++) {
    expect(penalised[12 + c]).toBe(without[12 + c]);
    expect(penalised[15 + c]).not.toBe(without[15 + c]);
  }
});
