import { describe, expect, test } from "vitest";
import { matryoshkaWidths } from "../../gpu/sae/matryoshka-batchtopk.ts";
import { example, expectGradients, run } from "../reference/gradient-check.ts";

const architecture = "matryoshka_batchtopk" as const;
const many = [0, 2, 5, 6, 9, 12];
const levels = { matryoshka_widths: [2, 6, 7, 13] };
const everyLevel = { ...levels, use_matryoshka_aux_loss: true };

describe("matryoshka: gradients equal central differences, AuxK's targets held", () => {
  test.each([
    { name: "widths by default", overrides: {}, dead: [] },
    { name: "given widths", overrides: levels, dead: [] },
    { name: "AuxK on the whole error", overrides: levels, dead: many },
    { name: "AuxK at every level", overrides: everyLevel, dead: many },
    { name: "AuxK at every level, none dead in the first", overrides: everyLevel, dead: [3, 8] },
    { name: "every feature dead", overrides: everyLevel, dead: Array.from({ length: 13 }, (_, i) => i) },
    { name: "b_dec not subtracted", overrides: { ...everyLevel, apply_b_dec_to_input: false }, dead: many },
    { name: "free decoder", overrides: { ...everyLevel, decoder_norm: "free" as const }, dead: many },
    { name: "one level is BatchTopK", overrides: { matryoshka_widths: [13] }, dead: many },
  ])("$name", ({ overrides, dead }) => {
    expectGradients(example({ architecture, aux_loss_coefficient: 0.7, ...overrides }, { dead }));
  });
});

test("with one level every number is BatchTopK's", () => {
  const nested = run(example({ architecture, matryoshka_widths: [13] }, { dead: many }));
  const flat = run(example({ architecture: "batchtopk" }, { dead: many }));
  expect(nested).toEqual(flat);
});

test("the loss is the sum of what each prefix of the features leaves", () => {
  const one = example({ architecture, ...levels });
  const { features, mse_loss } = run(one);
  let sum = 0;
  for (const width of levels.matryoshka_widths) {
    for (let t = 0; t < 5; t++) {
      for (let c = 0; c < 7; c++) {
        let e = one.parameters.b_dec![c]! - one.x[t * 7 + c]!;
        for (let i = 0; i < width; i++) e += features[t * 13 + i]! * one.parameters.W_dec![i * 7 + c]!;
        sum += e ** 2 / 5;
      }
    }
  }
  expect(mse_loss).toBeCloseTo(sum, 10);
});

test("gradients are those of the suffix sums that the kernels take", () => {
  const one = example({ architecture, ...levels, apply_b_dec_to_input: false });
  const { features, errors, gradients } = run(one);
  for (let i = 0; i < 13; i++) {
    const block = levels.matryoshka_widths.findIndex((width) => i < width);
    for (let c = 0; c < 7; c++) {
      let expected = 0;
      for (let t = 0; t < 5; t++) {
        const H = errors.slice(block).reduce((sum, e) => sum + e[t * 7 + c]!, 0);
        expected += (2 / 5) * features[t * 13 + i]! * H;
      }
      expect(gradients.W_dec![i * 7 + c]).toBeCloseTo(expected, 10);
    }
  }
});

test("AuxK at every level is scaled by the dead features of that level", () => {
  const one = example({ architecture, ...everyLevel, aux_loss_coefficient: 0.9, k_aux: 3 }, { dead: [1, 7] });
  const { aux_loss, errors, z } = run(one);
  let expected = 0;
  const candidates = [[1], [1], [1], [1, 7]];
  candidates.forEach((dead, level) => {
    for (let t = 0; t < 5; t++) {
      for (let c = 0; c < 7; c++) {
        let left = errors[level]![t * 7 + c]!;
        for (const i of dead) left += z[t * 13 + i]! * one.parameters.W_dec![i * 7 + c]!;
        expected += ((0.9 * dead.length) / 3 / 5) * left ** 2;
      }
    }
  });
  expect(aux_loss).toBeCloseTo(expected, 10);
});

test("AuxK alone is against the whole error, among all dead features", () => {
  const one = example({ architecture, ...levels, k_aux: 2 }, { dead: [1, 7] });
  const { aux_loss, error, z } = run(one);
  const left = error.map((e, at) => {
    const [t, c] = [Math.floor(at / 7), at % 7];
    return [1, 7].reduce((sum, i) => sum + z[t * 13 + i]! * one.parameters.W_dec![i * 7 + c]!, e);
  });
  expect(aux_loss).toBeCloseTo(
    left.reduce((sum, e) => sum + e ** 2 / 5, 0),
    10,
  );
});

test("default widths are halves of d_sae, without empty or equal ones", () => {
  expect(matryoshkaWidths({ d_sae: 64, matryoshka_widths: null })).toEqual([4, 8, 16, 32, 64]);
  expect(matryoshkaWidths({ d_sae: 13, matryoshka_widths: null })).toEqual([1, 3, 6, 13]);
  expect(matryoshkaWidths({ d_sae: 1, matryoshka_widths: null })).toEqual([1]);
});
