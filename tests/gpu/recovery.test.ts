import { afterAll, beforeAll, expect, it } from "vitest";
import { SyntheticSource, syntheticConfigSchema } from "../../gpu/data/synthetic.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { evaluateRecovery } from "../../gpu/metrics/evaluate-recovery.ts";
import type { Sae, SaeActivation, SaeConfig } from "../../gpu/sae/sae.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ adapter: "software", robust: true });
});
afterAll(() => gpu.close());

/** Orthonormal features, so that their transpose is a perfect encoder. */
const source = new SyntheticSource(
  syntheticConfigSchema.parse({
    d_in: 24,
    n_features: 24,
    firing_distribution: "flat",
    firing_probability: 0.1,
    magnitude_mean: 3,
  }),
);
/** Below any true activation, above the rounding of silent ones. */
const threshold = 0.1;

/** Latent i has feature order[i], its sign and length changed: decoder row ÷ c, encoder column · c. */
function saeOf(order: number[], activation: SaeActivation, change: Partial<SaeConfig> = {}): Sae {
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
  const vector = (value: number) => ({ shape: [d_sae], data: new Float32Array(d_sae).fill(value) });
  const own: Record<SaeActivation, Sae["tensors"]> = {
    relu: { b_enc: vector(-threshold) },
    topk: { b_enc: vector(-threshold) },
    jumprelu: { b_enc: vector(0), threshold: vector(threshold) },
    gated: { b_gate: vector(-threshold), b_mag: vector(0), r_mag: vector(0) },
  };
  return {
    config: {
      activation,
      d_in,
      d_out: d_in,
      d_sae,
      k: activation === "topk" ? d_sae : null,
      rescale_acts_by_decoder_norm: false,
      apply_b_dec_to_input: true,
      normalize_activations: "none",
      transcoder: false,
      skip: false,
      n_hook_points: 1,
      metadata: {
        model_name: null,
        hook_name: null,
        hook_name_out: null,
        dataset_name: null,
        context_size: null,
        prepend_bos: null,
        training_architecture: null,
        extra: {},
      },
      ...change,
    },
    tensors: {
      W_enc: { shape: [d_in, d_sae], data: W_enc },
      W_dec: { shape: [d_sae, d_in], data: W_dec },
      b_dec: { shape: [d_in], data: truth.bias },
      ...own[activation],
    },
  };
}

const shuffled = Array.from({ length: 24 }, (_, i) => (i * 5) % 24);

for (const activation of ["relu", "gated", "jumprelu", "topk"] as const) {
  it(`an SAE made of the true features scores 1 throughout, and leaves the ledger as it was: ${activation}`, async () => {
    const used = gpu.ledger.used;
    const recovery = await evaluateRecovery({ gpu, source, sae: saeOf(shuffled, activation), tokens: 3_000 });
    expect(recovery.mcc).toBeCloseTo(1, 6);
    expect(recovery).toMatchObject({ uniqueness: 1, n_features: 24, tokens: 3_000, dead_fraction: 0 });
    expect(recovery.precision).toBeGreaterThan(0.999);
    expect(recovery.recall).toBeGreaterThan(0.999);
    expect(recovery.f1).toBeGreaterThan(0.999);
    expect(recovery.explained_variance).toBeGreaterThan(0.995);
    expect(Math.abs(recovery.shrinkage - 1)).toBeLessThan(0.04);
    expect(recovery.l0).toBeCloseTo(recovery.true_l0, 2);
    expect(Math.abs(recovery.true_l0 - 2.4)).toBeLessThan(0.1);
    expect(gpu.ledger.used).toBe(used);
  });
}

it("a k below the number of firing features costs recall and explained variance and nothing else", async () => {
  const recovery = await evaluateRecovery({
    gpu,
    source,
    sae: saeOf(shuffled, "topk", { k: 2 }),
    tokens: 3_000,
  });
  expect(recovery.mcc).toBeCloseTo(1, 6);
  expect(recovery.precision).toBeGreaterThan(0.999);
  // E[min(N, 2)/N-ish] for N ~ B(24, 0.1): about a third of the firings lie beyond the second.
  expect(recovery.recall).toBeGreaterThan(0.5);
  expect(recovery.recall).toBeLessThan(0.85);
  expect(recovery.l0).toBeLessThan(2);
  expect(recovery.explained_variance).toBeLessThan(0.85);
  expect(recovery.shrinkage).toBeLessThan(0.95);
});

it("half a dictionary recovers what it has, and features that never fire are dead", async () => {
  const sae = saeOf(shuffled.slice(0, 12), "jumprelu");
  const { threshold } = sae.tensors;
  if (!(threshold?.data instanceof Float32Array)) throw new Error("no threshold");
  threshold.data.fill(1e6, 0, 3);
  const recovery = await evaluateRecovery({ gpu, source, sae, tokens: 2_000 });
  expect(recovery.mcc).toBeCloseTo(1, 6);
  expect(recovery.dead_fraction).toBe(0.25);
  expect(recovery.f1).toBeCloseTo(0.75, 2);
  expect(recovery.explained_variance).toBeLessThan(0.5);
});

it("refuses what has no true features to recover: transcoders, and SAEs of another width", async () => {
  const evaluate = (change: Partial<SaeConfig>) =>
    evaluateRecovery({ gpu, source, sae: saeOf(shuffled, "relu", change) });
  await expect(evaluate({ transcoder: true })).rejects.toThrow("transcoders");
  await expect(evaluate({ d_in: 12 })).rejects.toThrow("width 24");
});
