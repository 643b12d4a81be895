import { describe, expect, test } from "vitest";
import { type TrainingConfigInput, trainingConfigSchema } from "../../gpu/sae/config.ts";
import { RandomStream } from "../../gpu/sae/random.ts";
import { forward, gradients, type Parameters, parameterNames } from "../reference/topk.ts";

const step = 1e-5;

function example(overrides: Partial<TrainingConfigInput>, seed: number) {
  const config = trainingConfigSchema.parse({
    d_in: 7,
    d_sae: 13,
    k: 3,
    aux_loss_coefficient: 0.7,
    ...overrides,
  });
  const random = new RandomStream(seed);
  const normals = (count: number) => Float64Array.from({ length: count }, () => random.normal());
  const { d_in, d_sae } = config;
  const parameters: Parameters = {
    W_enc: normals(d_sae * d_in),
    W_dec: normals(d_sae * d_in),
    b_enc: normals(d_sae),
    b_dec: normals(d_in),
  };
  return { config, parameters, x: normals(5 * d_in) };
}

/** Distance of the selections from changing: the smallest gap at the k-th value, and to the ReLU's kink. */
function margin(
  z: Float64Array,
  rows: number,
  candidates: readonly number[],
  k: number,
  kink: boolean,
): number {
  let smallest = Number.POSITIVE_INFINITY;
  const d_sae = z.length / rows;
  for (let t = 0; t < rows; t++) {
    const sorted = candidates.map((f) => z[t * d_sae + f]!).sort((a, b) => b - a);
    if (k < sorted.length) smallest = Math.min(smallest, sorted[k - 1]! - sorted[k]!);
    if (kink) for (const value of sorted.slice(0, k)) smallest = Math.min(smallest, Math.abs(value));
  }
  return smallest;
}

describe.each([
  { name: "main loss", overrides: {}, dead: [] },
  { name: "AuxK over more dead features than k_aux", overrides: {}, dead: [0, 2, 5, 6, 9, 12] },
  { name: "AuxK over fewer", overrides: {}, dead: [4, 11] },
  { name: "b_dec not subtracted", overrides: { apply_b_dec_to_input: false }, dead: [1, 3] },
  { name: "k = d_sae, so that some selected are negative", overrides: { k: 13 }, dead: [] },
])("float64 reference: $name", ({ overrides, dead }) => {
  test("gradients equal central differences", () => {
    const { config, parameters, x } = example(overrides, 7);
    const pass = forward(parameters, x, config, dead);
    const all = Array.from({ length: config.d_sae }, (_, f) => f);
    expect(margin(pass.z, 5, all, config.k, true)).toBeGreaterThan(50 * step);
    if (dead.length > 0)
      expect(margin(pass.z, 5, dead, Math.min(3, dead.length), false)).toBeGreaterThan(50 * step);
    const g = gradients(parameters, pass, config);
    const loss = () => {
      const { mse_loss, aux_loss } = forward(parameters, x, config, dead, pass.error);
      return mse_loss + aux_loss;
    };
    for (const name of parameterNames) {
      const tensor = parameters[name];
      for (let i = 0; i < tensor.length; i++) {
        const value = tensor[i]!;
        tensor[i] = value + step;
        const above = loss();
        tensor[i] = value - step;
        const below = loss();
        tensor[i] = value;
        expect(Math.abs((above - below) / (2 * step) - g[name][i]!), `${name}[${i}]`).toBeLessThan(
          1e-6 * (1 + Math.abs(g[name][i]!)),
        );
      }
    }
  });
});

test("AuxK's scale falls with the number of dead features, and its loss is zero without any", () => {
  const { config, parameters, x } = example({}, 3);
  expect(forward(parameters, x, config, [])).toMatchObject({ aux_loss: 0, aux_scale: 0 });
  expect(forward(parameters, x, config, [1]).aux_scale).toBeCloseTo(0.7 / 3, 12);
  expect(forward(parameters, x, config, [1, 2, 3, 4]).aux_scale).toBeCloseTo(0.7, 12);
});
