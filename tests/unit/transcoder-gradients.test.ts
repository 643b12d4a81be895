import { describe, expect, test } from "vitest";
import { baseArchitectures } from "../../gpu/sae/architecture.ts";
import { example, expectGradients, run } from "../reference/gradient-check.ts";

const dead = [0, 2, 5, 6, 9, 12];

describe.each(["transcoder", "skip_transcoder"] as const)("%s", (architecture) => {
  test.each(baseArchitectures)("over %s: gradients equal central differences", (base_architecture) => {
    expectGradients(
      example(
        {
          architecture,
          base_architecture,
          d_out: 5,
          pre_act_loss_coefficient: 0.3,
          aux_loss_coefficient: 0.7,
        },
        { dead },
      ),
    );
  });

  test("options of the base hold: AuxK at every level, Multi-TopK, lp_norm", () => {
    const over = { architecture, d_out: 9 };
    expectGradients(
      example(
        { ...over, base_architecture: "matryoshka_batchtopk", use_matryoshka_aux_loss: true },
        { dead },
      ),
    );
    expectGradients(example({ ...over, base_architecture: "topk", multi_topk: true }, { dead: [3] }));
    expectGradients(example({ ...over, base_architecture: "standard", lp_norm: 2 }));
  });
});

test("W_skip of zeros is a transcoder", () => {
  const over = { base_architecture: "topk" as const, d_out: 5 };
  const skip = example({ ...over, architecture: "skip_transcoder" }, { dead });
  skip.parameters.W_skip!.fill(0);
  const { W_skip, ...parameters } = skip.parameters;
  const plain = { ...skip, parameters, config: { ...skip.config, architecture: "transcoder" as const } };
  const { gradients, ...rest } = run(skip);
  const { gradients: expected, ...restExpected } = run(plain);
  expect(rest).toEqual(restExpected);
  const { W_skip: gW_skip, ...others } = gradients;
  expect(others).toEqual(expected);
  for (const [at, g] of gW_skip!.entries()) {
    let sum = 0;
    for (let t = 0; t < 5; t++) sum += rest.error[t * 5 + Math.floor(at / 7)]! * skip.x[t * 7 + (at % 7)]!;
    expect(g).toBeCloseTo((2 / 5) * sum, 12);
  }
  expect(W_skip).toHaveLength(35);
});

test("a transcoder cannot subtract its b_dec from the input", () => {
  expect(() => run(example({ architecture: "transcoder", apply_b_dec_to_input: true }))).toThrow("subtract");
});
