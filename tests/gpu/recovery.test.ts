import { afterAll, beforeAll, expect, it } from "vitest";
import { SyntheticSource, syntheticConfigSchema } from "../../gpu/data/synthetic.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { evaluateRecovery } from "../../gpu/metrics/evaluate-recovery.ts";
import type { SaeTensors } from "../../gpu/sae/trainer.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ adapter: "software", robust: true });
});
afterAll(() => gpu.close());

/** Orthogonal features, so that their transpose is a perfect encoder. */
const source = new SyntheticSource(
  syntheticConfigSchema.parse({
    d_in: 24,
    n_features: 24,
    firing_distribution: "flat",
    firing_probability: 0.1,
    magnitude_mean: 3,
    orthogonalize_steps: 600,
    orthogonalize_lr: 0.01,
  }),
);

/** Latent i has feature order[i], its sign and length changed: decoder row ÷ c, encoder column · c. */
function saeOf(order: number[]): SaeTensors {
  const { d_in, dictionary, truth } = source;
  const d_sae = order.length;
  const W_enc = new Float32Array(d_in * d_sae);
  const W_dec = new Float32Array(d_sae * d_in);
  for (const [latent, feature] of order.entries()) {
    for (let j = 0; j < d_in; j++) {
      const value = dictionary[feature * d_in + j]!;
      W_dec[latent * d_in + j] = value / 2;
      W_enc[j * d_sae + latent] = value * 2;
    }
  }
  return {
    W_enc: { shape: [d_in, d_sae], data: W_enc },
    W_dec: { shape: [d_sae, d_in], data: W_dec },
    // Below any true activation, above the rounding of the silent ones.
    b_enc: { shape: [d_sae], data: new Float32Array(d_sae).fill(-0.1) },
    b_dec: { shape: [d_in], data: truth.bias },
  };
}

it("an SAE made of the true features scores 1 throughout, and leaves the ledger as it was", async () => {
  const used = gpu.ledger.used;
  const order = Array.from({ length: 24 }, (_, i) => (i * 5) % 24);
  const config = { k: 24, apply_b_dec_to_input: true };
  const recovery = await evaluateRecovery({ gpu, source, sae: saeOf(order), config, tokens: 3_000 });
  expect(recovery.mcc).toBeCloseTo(1, 4);
  expect(recovery).toMatchObject({ uniqueness: 1, n_features: 24 });
  expect(recovery.precision).toBeGreaterThan(0.999);
  expect(recovery.recall).toBeGreaterThan(0.999);
  expect(recovery.f1).toBeGreaterThan(0.999);
  expect(gpu.ledger.used).toBe(used);
});

it("a k below the number of firing features costs recall and nothing else", async () => {
  const order = Array.from({ length: 24 }, (_, i) => i);
  const config = { k: 2, apply_b_dec_to_input: true };
  const recovery = await evaluateRecovery({ gpu, source, sae: saeOf(order), config, tokens: 3_000 });
  expect(recovery.mcc).toBeCloseTo(1, 4);
  expect(recovery.precision).toBeGreaterThan(0.999);
  // E[min(N, 2)/N-ish] for N ~ B(24, 0.1): about a third of the firings lie beyond the second.
  expect(recovery.recall).toBeGreaterThan(0.5);
  expect(recovery.recall).toBeLessThan(0.85);
});
