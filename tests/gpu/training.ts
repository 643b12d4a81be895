import { expect } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { sourceWidth, widthsOf } from "../../gpu/sae/architecture.ts";
import { type TrainingConfig, type TrainingConfigInput, trainingConfigSchema } from "../../gpu/sae/config.ts";
import { configFaults } from "../../gpu/sae/config-faults.ts";
import {
  createTrainer,
  type StepMetrics,
  type TrainerOptions,
  type TrainerState,
} from "../../gpu/sae/trainer.ts";
import { ArraySource } from "../reference/array-source.ts";
import { newState, parameterShapes, type ReferenceState } from "../reference/oracle.ts";
import { plantedActivations } from "./planted-activations.ts";

/** A run of 20 small steps, consistent in itself. */
export function configure(overrides: Partial<TrainingConfigInput> = {}): TrainingConfig {
  const rows = overrides.train_batch_size_tokens ?? 45;
  const config = trainingConfigSchema.parse({
    d_in: 18,
    d_sae: 70,
    ...(overrides.architecture === undefined && { k: 4 }),
    train_batch_size_tokens: rows,
    training_tokens: 20 * rows,
    lr: 1e-3,
    metrics_every_steps: 1,
    n_batches_for_norm_estimate: 4,
    dead_feature_window_tokens: 90,
    ...overrides,
  });
  expect(configFaults(config)).toEqual([]);
  return config;
}

/** Rows as wide as the configuration reads them. */
export function sourceFor(config: TrainingConfig, rows = 2000): ArraySource {
  const width = sourceWidth(config);
  return new ArraySource(plantedActivations(rows, width, 5), width);
}

/** Takes so many steps, by default all that are left. */
export async function train(
  gpu: Gpu,
  config: TrainingConfig,
  { steps, ...given }: Partial<TrainerOptions> & { steps?: number } = {},
) {
  const source = given.source ?? sourceFor(config);
  const trainer = await createTrainer({ gpu, config, source, ...given });
  try {
    const initial = await trainer.snapshot();
    const metrics: StepMetrics[] = [];
    const last = steps === undefined ? trainer.totalSteps : trainer.step + steps;
    while (trainer.step < last) metrics.push(...(await trainer.advance()));
    metrics.push(...(await trainer.drain()));
    return { initial, final: await trainer.snapshot(), metrics };
  } finally {
    trainer.close();
  }
}

/** The parameters of a state as the oracle has them; `prefix` takes averages or moments instead. */
export function parametersOf(config: TrainingConfig, state: TrainerState, prefix = "") {
  const names = Object.keys(parameterShapes(config));
  return Object.fromEntries(
    names.map((name) => [name, Float64Array.from(state.tensors[prefix + name]!.data)]),
  );
}

/** A state of the trainer as the oracle's. */
export function referenceOf(config: TrainingConfig, state: TrainerState): ReferenceState {
  const reference = newState(config, parametersOf(config, state));
  reference.m = parametersOf(config, state, "adam_m.");
  reference.v = parametersOf(config, state, "adam_v.");
  if (config.ema_decay !== null) reference.ema = parametersOf(config, state, "ema.");
  reference.tokens_since_fired.set(state.tensors.tokens_since_fired!.data);
  const [threshold_mean, log_l0, log_multiplier, log_l0_slow] = state.tensors.steering!.data as Float32Array;
  return {
    ...reference,
    threshold_mean: threshold_mean!,
    log_l0: log_l0!,
    log_l0_slow: log_l0_slow!,
    log_multiplier: log_multiplier!,
  };
}

/** What takes a token's row to the normalised space, (row − shift) · factor, and a reconstruction back, · scale + shift. */
function byToken(config: TrainingConfig, row: Float64Array) {
  const layer = config.normalize_activations === "layer_norm";
  const shift = layer ? row.reduce((sum, value) => sum + value, 0) / row.length : 0;
  const length = Math.hypot(...row.map((value) => value - shift));
  const scale = length / Math.sqrt(layer ? row.length - 1 : row.length);
  return { shift, scale, factor: 1 / (scale + (layer ? 1e-5 : 0)) };
}

const perToken = (config: TrainingConfig) =>
  ["constant_norm_rescale", "layer_norm"].includes(config.normalize_activations);

/**
 * Raw rows as a step sees them, input and target, normalised, in float64; and a reconstruction of the target in its raw
 * units. Scales and means are the state's.
 */
export function normalised(config: TrainingConfig, { tensors }: TrainerState, raw: Float32Array) {
  const { input, output } = widthsOf(config);
  const width = sourceWidth(config);
  const of = (name: "input" | "target") => {
    const [scale, mean] = [tensors[`${name}_scale`]!.data, tensors[`${name}_mean`]!.data];
    return { mean, scaleOf: (c: number) => scale[Math.floor((c * scale.length) / mean.length)]! };
  };
  const side = (first: number, columns: number, name: "input" | "target") => {
    const { mean, scaleOf } = of(name);
    const rows = Float64Array.from({ length: (raw.length / width) * columns }, (_, i) => {
      const c = i % columns;
      return scaleOf(c) * (raw[Math.floor(i / columns) * width + first + c]! - mean[c]!);
    });
    for (let start = 0; perToken(config) && start < rows.length; start += columns) {
      const row = rows.subarray(start, start + columns);
      const { shift, factor } = byToken(config, row);
      row.set(row.map((value) => (value - shift) * factor));
    }
    return rows;
  };
  const transcoder = tensors.target_scale!.data.length > 0;
  const x = side(0, input, "input");
  return {
    x,
    y: transcoder ? side(input, output, "target") : x,
    toRaw(reconstruction: Float64Array): Float64Array {
      const { mean, scaleOf } = of(transcoder ? "target" : "input");
      return reconstruction.map((value, i) => {
        const [t, c] = [Math.floor(i / output), i % output];
        if (!perToken(config)) return value / scaleOf(c) + mean[c]!;
        const { shift, scale } = byToken(config, Float64Array.from(raw.subarray(t * width, (t + 1) * width)));
        return value * scale + shift;
      });
    },
  };
}

/** ‖actual − expected‖ / ‖expected‖. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  let difference = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  return size === 0 ? Math.sqrt(difference) : Math.sqrt(difference / size);
}
