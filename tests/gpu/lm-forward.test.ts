import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { describeModel } from "../../gpu/lm/families/index.ts";
import { hookPoints } from "../../gpu/lm/hook-points.ts";
import { openLanguageModel } from "../../gpu/lm/language-model.ts";
import { randomTokens } from "../reference/lm/random-model.ts";
import { crossEntropy, forward } from "../reference/lm/transformer.ts";
import { variantLength, variants } from "../reference/lm/variants.ts";
import { relativeError, weightsOf } from "./lm-models.ts";

/*
 * Every family against the float64 reference: each hook point and the logits. In f32 a sum of n products is off by
 * about √n · 2^-24 of its terms; a few layers leave 1e-6 of the whole.
 */
const tolerance = 2e-5;

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterAll(() => {
  expect(gpu.uncapturedError()).toBeNull();
  gpu.close();
});

describe.each(variants())("$name", (model) => {
  const spec = describeModel(model.config);
  const n = 3;
  const sequences = Array.from({ length: n }, (_, i) => randomTokens(model.config, variantLength, 7 + i));
  const ids = Uint32Array.from(sequences.flat());

  test("every hook point, the logits and the loss are the reference's", async () => {
    const used = gpu.ledger.used;
    const hooks = hookPoints(spec).map(({ name }) => name);
    const lm = await openLanguageModel({
      gpu,
      spec,
      weights: weightsOf(model),
      hooks,
      n_sequences: n,
      length: variantLength,
      logits: true,
    });
    const expected = forward(model, sequences);
    const [activations, logits, losses] = [
      await lm.forward(ids),
      await lm.logits(ids),
      await lm.crossEntropy(ids),
    ];
    expect([...activations.keys()]).toEqual(hooks);
    const errors = new Map<string, number>();
    for (const { name, width } of hookPoints(spec)) {
      const actual = activations.get(name)!;
      expect(actual.length, name).toBe(ids.length * width);
      errors.set(name, relativeError(actual, expected.hooks.get(name)!.data));
    }
    errors.set("logits", relativeError(logits, expected.logits.data));
    for (const [name, error] of errors) expect(error, name).toBeLessThan(tolerance);
    sequences.forEach((tokens, i) => {
      const own = forward(model, [tokens]).crossEntropy;
      expect(losses[i]).toBeCloseTo(own, 5);
    });
    expect(losses.reduce((sum, loss) => sum + loss, 0) / n).toBeCloseTo(
      crossEntropy(
        expected.logits,
        sequences.map((tokens) => tokens.slice(1)),
      ),
      5,
    );
    await lm.close();
    expect(gpu.ledger.used).toBe(used);
  });
});
