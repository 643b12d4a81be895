import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { baseOf, isTranscoder, sourceWidth, widthsOf } from "../../gpu/sae/architecture.ts";
import type { TrainingConfig, TrainingConfigInput } from "../../gpu/sae/config.ts";
import { encode, reconstruct } from "../../gpu/sae/inference.ts";
import { saeFaults } from "../../gpu/sae/sae-shapes.ts";
import { createTrainer, type TrainerState } from "../../gpu/sae/trainer.ts";
import { forward, varianceMetrics } from "../reference/oracle.ts";
import { configure, normalised, parametersOf, relativeError, sourceFor } from "./training.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterAll(() => gpu.close());

const steps = 5;

/** ‖W_dec[i]‖, summed over hook points. */
function decoderNorms({ d_sae, d_in, architecture }: TrainingConfig, W_dec: Float64Array): Float64Array {
  const width = architecture === "crosscoder" ? d_in : W_dec.length / d_sae;
  const norms = new Float64Array(d_sae);
  for (let start = 0; start < W_dec.length; start += width) {
    norms[Math.floor((start * d_sae) / W_dec.length)]! += Math.hypot(...W_dec.subarray(start, start + width));
  }
  return norms;
}

/**
 * What is evaluated and exported, in the normalised space: the averages where there are any, and of BatchTopK and its
 * kin JumpReLU with the mean of the smallest activations kept, corrected for its start, in each feature's own units.
 */
function judged(config: TrainingConfig, state: TrainerState, raw: Float32Array) {
  const parameters = parametersOf(config, state, config.ema_decay === null ? "" : "ema.");
  const space = normalised(config, state, raw);
  const base = baseOf(config);
  let measured = config;
  if (base === "batchtopk" || base === "matryoshka_batchtopk") {
    const mean = state.tensors.steering!.data[0]!;
    const threshold = mean / (1 - (1 - config.topk_threshold_lr) ** steps);
    const norms = decoderNorms(config, parameters.W_dec!);
    const ranked = config.decoder_norm === "free" && config.rescale_acts_by_decoder_norm;
    parameters.threshold = norms.map((norm) => (ranked ? threshold / norm : threshold));
    measured =
      config.architecture === base
        ? { ...config, architecture: "jumprelu" }
        : { ...config, base_architecture: "jumprelu" };
  }
  const context = { dead: [], k: config.k, sparsity_coefficient: 0 };
  const pass = forward(parameters, space.x, space.y, { ...measured, multi_topk: false }, context);
  return { ...space, ...pass };
}

const l1 = { l1_coefficient: 0.05, l1_warm_up_steps: 4 };
const cases: [string, Partial<TrainingConfigInput>][] = [
  ["standard", { architecture: "standard", ...l1 }],
  [
    "gated, free decoder, centred",
    { architecture: "gated", decoder_norm: "free", center_activations: true, ...l1 },
  ],
  ["jumprelu", { architecture: "jumprelu", jumprelu_bandwidth: 0.3, l0_coefficient: 0.2 }],
  ["topk, multi", { architecture: "topk", k: 4, multi_topk: true }],
  ["topk, centred", { architecture: "topk", k: 4, center_activations: true }],
  ["topk, free decoder", { architecture: "topk", k: 4, decoder_norm: "free", decoder_init_norm: 0.5 }],
  [
    "topk, constant_norm_rescale",
    { architecture: "topk", k: 4, normalize_activations: "constant_norm_rescale" },
  ],
  ["topk, layer_norm", { architecture: "topk", k: 4, normalize_activations: "layer_norm" }],
  [
    "topk, b_dec not subtracted, centred",
    { architecture: "topk", k: 4, apply_b_dec_to_input: false, center_activations: true },
  ],
  ["batchtopk", { architecture: "batchtopk", k: 3.3 }],
  [
    "batchtopk, free decoder, averages",
    // So fast that the averages, b_dec's among them, lie far behind the weights.
    { architecture: "batchtopk", k: 4, decoder_norm: "free", ema_decay: 0.9, lr: 0.05 },
  ],
  ["matryoshka", { architecture: "matryoshka_batchtopk", k: 4, matryoshka_widths: [9, 33, 70] }],
  ["transcoder, centred", { architecture: "transcoder", k: 4, d_out: 11, center_activations: true }],
  ["skip transcoder, averages", { architecture: "skip_transcoder", k: 4, d_out: 11, ema_decay: 0.7 }],
  [
    "skip transcoder, centred",
    { architecture: "skip_transcoder", k: 4, d_out: 11, center_activations: true },
  ],
  ["crosscoder over standard", { architecture: "crosscoder", n_hook_points: 3, ...l1 }],
  [
    "crosscoder over topk",
    { architecture: "crosscoder", base_architecture: "topk", n_hook_points: 2, k: 4, decoder_norm: "free" },
  ],
  [
    "crosscoder over batchtopk, free decoder, centred",
    {
      architecture: "crosscoder",
      base_architecture: "batchtopk",
      n_hook_points: 2,
      k: 4,
      decoder_norm: "free",
      center_activations: true,
    },
  ],
];

describe.each(cases)("%s", (_name, overrides) => {
  test("is evaluated over all tokens of several batches, and exported for raw activations; no state changes", async () => {
    const config = configure(overrides);
    const source = sourceFor(config, 100);
    const trainer = await createTrainer({ gpu, config, source });
    for (let i = 0; i < steps; i++) await trainer.advance();
    const state = await trainer.snapshot();
    const evaluation = await trainer.evaluate(1000);
    expect(await trainer.evaluate(1000)).toEqual(evaluation);
    expect(await trainer.snapshot()).toEqual(state);
    const sae = await trainer.exportSae();
    expect(await trainer.snapshot()).toEqual(state);
    trainer.close();

    // Three batches of 33, the largest equal ones of at most 45.
    const tokens = 99;
    const raw = source.batch(0, tokens);
    const { y, features, error, reconstruction, toRaw } = judged(config, state, raw);
    const frequency = new Float64Array(config.d_sae);
    features.forEach((value, at) => {
      if (value > 0) frequency[at % config.d_sae]! += 1 / tokens;
    });
    const { output } = widthsOf(config);
    const { fvu, explained_variance } = varianceMetrics(y, error, output);
    const mse = error.reduce((sum, e) => sum + e ** 2, 0) / tokens;
    // What 30 steps of f32 may be off by in the architectures' own test.
    const close = (actual: number, wanted: number) =>
      expect(Math.abs(actual - wanted), `${actual} for ${wanted}`).toBeLessThanOrEqual(
        1e-4 * Math.abs(wanted),
      );
    expect(evaluation.tokens).toBe(tokens);
    close(evaluation.mse, mse);
    close(evaluation.fvu, fvu);
    close(1 - evaluation.explained_variance, 1 - explained_variance);
    close(
      evaluation.l0,
      frequency.reduce((a, b) => a + b),
    );
    expect(evaluation.dead_features).toBe(frequency.filter((f) => f === 0).length);
    expect(relativeError(evaluation.feature_frequency, frequency)).toBeLessThan(1e-6);

    // The exported SAE, on raw rows.
    expect(saeFaults(sae)).toEqual([]);
    const width = sourceWidth(config);
    const { input } = widthsOf(config);
    const inputs = Float32Array.from({ length: tokens * input }, (_, i) => {
      return raw[Math.floor(i / input) * width + (i % input)]!;
    });
    expect(relativeError(reconstruct(sae, inputs), toRaw(reconstruction))).toBeLessThan(1e-5);
    const active = (values: Float64Array) => [...values.keys()].filter((at) => values[at]! > 0);
    expect(active(encode(sae, inputs))).toEqual(active(features));
    const { d_out, d_sae } = sae.config;
    for (let f = 0; f < d_sae && config.architecture !== "crosscoder"; f++) {
      const norm = Math.hypot(...sae.tensors.W_dec!.data.subarray(f * d_out, (f + 1) * d_out));
      // In raw units, a unit decoder's rows have the inverse of the target's scale.
      const scale =
        state.tensors[isTranscoder(config.architecture) ? "target_scale" : "input_scale"]!.data[0]!;
      expect(norm).toBeCloseTo(config.decoder_norm === "unit" ? 1 / scale : 1, 4);
    }
    expect(sae.config.metadata.training_architecture).toMatch(new RegExp(`^${config.architecture}`));
  });
});

test("as many tokens are evaluated as are asked for, in one batch where they fit", async () => {
  const config = configure();
  const trainer = await createTrainer({ gpu, config, source: sourceFor(config, 100) });
  expect((await trainer.evaluate(7)).tokens).toBe(7);
  expect((await trainer.evaluate(45)).tokens).toBe(45);
  expect((await trainer.evaluate(46)).tokens).toBe(46);
  for (const tokens of [0, 1.5, Number.NaN])
    await expect(trainer.evaluate(tokens)).rejects.toThrow(RangeError);
  trainer.close();
});
