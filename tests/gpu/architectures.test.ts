import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { sourceWidth, widthsOf } from "../../gpu/sae/architecture.ts";
import { type TrainingConfig, type TrainingConfigInput, trainingConfigSchema } from "../../gpu/sae/config.ts";
import { configFaults } from "../../gpu/sae/config-faults.ts";
import { createTrainer, type StepMetrics, type TrainerState } from "../../gpu/sae/trainer.ts";
import { ArraySource } from "../reference/array-source.ts";
import {
  contextAt,
  forward,
  newState,
  parameterShapes,
  type ReferenceState,
  trainStep,
} from "../reference/oracle.ts";
import { plantedActivations } from "./planted-activations.ts";

const steps = 30;
const rows = 45;

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterAll(() => gpu.close());

function configure(overrides: Partial<TrainingConfigInput>): TrainingConfig {
  const config = trainingConfigSchema.parse({
    d_in: 18,
    d_sae: 70,
    train_batch_size_tokens: rows,
    training_tokens: steps * rows,
    lr: 1e-3,
    metrics_every_steps: 1,
    n_batches_for_norm_estimate: 4,
    dead_feature_window_tokens: 90,
    ...overrides,
  });
  expect(configFaults(config)).toEqual([]);
  return config;
}

/** The rows of a batch as the step sees them: input and target, normalised, in float64. */
function batchOf(config: TrainingConfig, source: ArraySource, state: TrainerState, batch: number) {
  const raw = source.batch(batch, rows);
  const { input, output } = widthsOf(config);
  const width = sourceWidth(config);
  const of = (name: string) => state.tensors[name]!.data;
  const side = (first: number, columns: number, scale: ArrayLike<number>, mean: ArrayLike<number>) => {
    const point = columns / Math.max(1, scale.length);
    return Float64Array.from({ length: rows * columns }, (_, i) => {
      const c = i % columns;
      const value = raw[Math.floor(i / columns) * width + first + c]!;
      return scale[Math.floor(c / point)]! * (value - mean[c]!);
    });
  };
  const x = side(0, input, of("input_scale"), of("input_mean"));
  if (of("target_scale").length === 0) return { x, y: x };
  return { x, y: side(input, output, of("target_scale"), of("target_mean")) };
}

function float64(config: TrainingConfig, state: TrainerState): ReferenceState {
  const names = Object.keys(parameterShapes(config));
  return newState(
    config,
    Object.fromEntries(names.map((name) => [name, Float64Array.from(state.tensors[name]!.data)])),
  );
}

function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  return size === 0 ? Math.sqrt(difference) : Math.sqrt(difference / size);
}

async function train(config: TrainingConfig) {
  const source = new ArraySource(plantedActivations(2000, sourceWidth(config), 5), sourceWidth(config));
  const trainer = await createTrainer({ gpu, config, source });
  try {
    const initial = await trainer.snapshot();
    const metrics: StepMetrics[] = [];
    for (let i = 0; i < steps; i++) metrics.push(...(await trainer.advance()));
    metrics.push(...(await trainer.drain()));
    return { source, initial, final: await trainer.snapshot(), metrics };
  } finally {
    trainer.close();
  }
}

const l1 = { l1_coefficient: 0.05, l1_warm_up_steps: 4 };
const jumprelu = { architecture: "jumprelu", jumprelu_bandwidth: 0.3, jumprelu_init_threshold: 0.1 } as const;
const cases: [string, Partial<TrainingConfigInput>][] = [
  ["standard", { architecture: "standard", ...l1 }],
  ["standard, unit decoder", { architecture: "standard", decoder_norm: "unit", ...l1 }],
  ["standard, lp_norm 2", { architecture: "standard", lp_norm: 2, ...l1 }],
  ["standard, target L0", { architecture: "standard", target_l0: 5, target_l0_gain: 0.05, ...l1 }],
  ["gated", { architecture: "gated", ...l1 }],
  [
    "gated, free decoder, b_dec not subtracted",
    { architecture: "gated", decoder_norm: "free", apply_b_dec_to_input: false, ...l1 },
  ],
  [
    "jumprelu, step",
    { ...jumprelu, jumprelu_sparsity_loss_mode: "step", l0_coefficient: 0.05, l0_warm_up_steps: 0 },
  ],
  [
    "jumprelu, quadratic",
    { ...jumprelu, jumprelu_sparsity_loss_mode: "quadratic", target_l0: 4, l0_warm_up_steps: 0 },
  ],
  [
    "jumprelu, tanh and pre-activation loss",
    {
      ...jumprelu,
      jumprelu_sparsity_loss_mode: "tanh",
      l0_coefficient: 0.2,
      l0_warm_up_steps: 5,
      pre_act_loss_coefficient: 0.01,
      jumprelu_init_threshold: 0.5,
    },
  ],
  ["topk", { architecture: "topk", k: 4 }],
  ["topk, multi", { architecture: "topk", k: 3, multi_topk: true }],
  [
    "topk, free decoder, ranked by norm, annealed",
    {
      architecture: "topk",
      k: 3,
      k_anneal_from: 9,
      k_anneal_steps: 20,
      decoder_norm: "free",
      decoder_init_norm: 0.5,
    },
  ],
  ["batchtopk", { architecture: "batchtopk", k: 3.3 }],
  [
    "batchtopk, free decoder, centred, averaged",
    { architecture: "batchtopk", k: 4, decoder_norm: "free", center_activations: true, ema_decay: 0.9 },
  ],
  ["matryoshka", { architecture: "matryoshka_batchtopk", k: 4, matryoshka_widths: [9, 33, 70] }],
  [
    "matryoshka, AuxK at every level",
    {
      architecture: "matryoshka_batchtopk",
      k: 2,
      use_matryoshka_aux_loss: true,
      dead_feature_window_tokens: 1,
    },
  ],
  ...(["standard", "gated", "jumprelu", "topk", "batchtopk", "matryoshka_batchtopk"] as const).map(
    (base_architecture): [string, Partial<TrainingConfigInput>] => [
      `transcoder over ${base_architecture}`,
      {
        architecture: "transcoder",
        base_architecture,
        d_out: 11,
        ...(["standard", "gated"].includes(base_architecture) ? l1 : {}),
        ...(base_architecture.includes("top") ? { k: 4 } : {}),
      },
    ],
  ),
  ["skip transcoder over topk", { architecture: "skip_transcoder", k: 4, d_out: 11 }],
  ["skip transcoder over gated", { architecture: "skip_transcoder", base_architecture: "gated", ...l1 }],
  ["crosscoder over standard", { architecture: "crosscoder", n_hook_points: 3, ...l1 }],
  [
    "crosscoder over batchtopk",
    {
      architecture: "crosscoder",
      base_architecture: "batchtopk",
      n_hook_points: 2,
      k: 4,
      decoder_norm: "unit",
    },
  ],
  [
    "crosscoder over jumprelu",
    {
      ...jumprelu,
      architecture: "crosscoder",
      base_architecture: "jumprelu",
      n_hook_points: 2,
      l0_coefficient: 0.2,
      l0_warm_up_steps: 5,
    },
  ],
  ["odd sizes", { architecture: "topk", d_in: 37, d_sae: 129, k: 2, dead_feature_window_tokens: 1 }],
];

describe.each(cases)("%s", (_name, overrides) => {
  test("30 steps follow the float64 oracle", async () => {
    const config = configure(overrides);
    const { source, initial, final, metrics } = await train(config);
    const reference = float64(config, initial);
    expect(metrics.map(({ step }) => step)).toEqual(Array.from({ length: steps }, (_, i) => i + 1));
    for (const row of metrics) {
      const { x, y } = batchOf(config, source, initial, row.step - 1);
      const expected = trainStep(reference, x, y, config, row.step - 1);
      const close = (actual: number, wanted: number, what: string, bound = 1e-4) =>
        expect(
          Math.abs(actual - wanted),
          `step ${row.step} ${what}: ${actual} for ${wanted}`,
        ).toBeLessThanOrEqual(bound * Math.abs(wanted) + 1e-7);
      close(row.mse_loss, expected.mse_loss, "mse_loss");
      close(row.sparsity_loss, expected.sparsity_loss, "sparsity_loss");
      close(row.aux_loss, expected.aux_loss, "aux_loss");
      close(row.loss, expected.loss, "loss");
      close(row.fvu, expected.fvu, "fvu");
      close(1 - row.explained_variance, 1 - expected.explained_variance, "1 − explained_variance");
      close(row.grad_norm, expected.grad_norm, "grad_norm");
      // A pre-activation within rounding of its threshold may fall on the other side of it.
      close(row.l0, expected.l0, "l0", 1e-3);
      close(row.sparsity_coefficient, expected.sparsity_coefficient, "sparsity_coefficient");
      expect(row.dead_features, `step ${row.step}`).toBe(expected.dead.length);
      close(row.lr, expected.lr, "lr", 1e-12);
    }
    for (const [name, wanted] of Object.entries(reference.parameters)) {
      expect(relativeError(final.tensors[name]!.data, wanted), name).toBeLessThan(1e-3);
      expect(
        relativeError(final.tensors[`adam_m.${name}`]!.data, reference.m[name]!),
        `m ${name}`,
      ).toBeLessThan(1e-3);
      expect(
        relativeError(final.tensors[`adam_v.${name}`]!.data, reference.v[name]!),
        `v ${name}`,
      ).toBeLessThan(1e-3);
      if (reference.ema !== null) {
        expect(
          relativeError(final.tensors[`ema.${name}`]!.data, reference.ema[name]!),
          `ema ${name}`,
        ).toBeLessThan(1e-4);
      }
    }
    expect([...final.tensors.tokens_since_fired!.data]).toEqual([...reference.tokens_since_fired]);
    const [threshold, logL0, logMultiplier, logL0Slow] = final.tensors.steering!.data;
    expect(threshold).toBeCloseTo(reference.threshold_mean, 4);
    expect(logL0).toBeCloseTo(reference.log_l0, 4);
    expect(logL0Slow).toBeCloseTo(reference.log_l0_slow, 4);
    expect(logMultiplier).toBeCloseTo(reference.log_multiplier, 4);
    const { x, y } = batchOf(config, source, initial, steps + 3);
    const context = contextAt(reference, config, steps);
    const trained = float64(config, final).parameters;
    const { reconstruction } = forward(reference.parameters, x, y, config, context);
    expect(
      relativeError(forward(trained, x, y, config, context).reconstruction, reconstruction),
    ).toBeLessThan(1e-3);
  });
});
