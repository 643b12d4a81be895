import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { type TrainingConfigInput, trainingConfigSchema } from "../../gpu/sae/config.ts";
import { DeviceFailedError, DivergedError, StateMismatchError } from "../../gpu/sae/errors.ts";
import { RandomStream } from "../../gpu/sae/random.ts";
import { createTrainer, planMemory, type StepMetrics, type TrainerState } from "../../gpu/sae/trainer.ts";
import { runTraining } from "../../gpu/sae/training-loop.ts";
import { ArraySource } from "../reference/array-source.ts";
import {
  forward,
  type Parameters,
  parameterNames,
  type ReferenceState,
  trainStep,
  varianceMetrics,
} from "../reference/topk.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterAll(() => gpu.close());

/** Sparse combinations of fixed directions plus noise, off-centre: what a dictionary can learn. */
function activations(rows: number, d_in: number, seed: number): Float32Array {
  const random = new RandomStream(seed);
  const directions = Float64Array.from({ length: 2 * d_in * d_in }, () => random.normal());
  const x = new Float32Array(rows * d_in);
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < d_in; i++) x[r * d_in + i] = 0.5 + 0.1 * random.normal();
    for (let a = 0; a < 3; a++) {
      const feature = random.u32() % (2 * d_in);
      const strength = 1 + random.uniform();
      for (let i = 0; i < d_in; i++) x[r * d_in + i]! += strength * directions[feature * d_in + i]!;
    }
  }
  return x;
}

function configure(overrides: Partial<TrainingConfigInput>) {
  return trainingConfigSchema.parse({
    d_in: 18,
    d_sae: 70,
    k: 4,
    train_batch_size_tokens: 45,
    training_tokens: 20 * 45,
    lr: 1e-3,
    metrics_every_steps: 1,
    n_batches_for_norm_estimate: 4,
    dead_feature_window_tokens: 90,
    ...overrides,
  });
}

function float64(state: TrainerState): ReferenceState {
  const pick = (prefix: string): Parameters => {
    const parameters = {} as Parameters;
    for (const name of parameterNames)
      parameters[name] = Float64Array.from(state.tensors[prefix + name]!.data);
    return parameters;
  };
  return {
    parameters: pick(""),
    m: pick("adam_m."),
    v: pick("adam_v."),
    tokens_since_fired: Float64Array.from(state.tensors.tokens_since_fired!.data),
  };
}

function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}

async function train(overrides: Partial<TrainingConfigInput>, steps?: number, resume?: TrainerState) {
  const config = configure(overrides);
  const source = new ArraySource(activations(2000, config.d_in, 5), config.d_in);
  const trainer = await createTrainer({ gpu, config, source, ...(resume && { resume }) });
  const initial = await trainer.snapshot();
  const metrics: StepMetrics[] = [];
  for (let i = 0; i < (steps ?? trainer.totalSteps - initial.step); i++)
    metrics.push(...(await trainer.advance()));
  metrics.push(...(await trainer.drain()));
  const final = await trainer.snapshot();
  trainer.close();
  return { config, source, initial, final, metrics };
}

describe.each<[string, Partial<TrainingConfigInput>]>([
  ["defaults, features dying and reviving", { lr_warm_up_steps: 5, lr_decay_steps: 6 }],
  [
    "free decoder, no clipping, b_dec not subtracted",
    {
      decoder_norm: "free",
      grad_clip_norm: null,
      apply_b_dec_to_input: false,
      b_dec_init_method: "mean",
      normalize_activations: "none",
    },
  ],
  [
    "every feature dead at first, odd sizes",
    {
      d_in: 37,
      d_sae: 129,
      k: 2,
      train_batch_size_tokens: 65,
      training_tokens: 20 * 65,
      dead_feature_window_tokens: 1,
    },
  ],
  ["no AuxK", { aux_loss_coefficient: 0, b_dec_init_method: "zeros" }],
])("20 steps follow the float64 reference: %s", (_name, overrides) => {
  test("state and metrics", async () => {
    const { config, source, initial, final, metrics } = await train(overrides);
    const reference = float64(initial);
    expect(metrics.map(({ step }) => step)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    let sawDead = false;
    for (const row of metrics) {
      const raw = source.batch(row.step - 1, config.train_batch_size_tokens);
      const x = Float64Array.from(raw, (value) => value * Math.fround(initial.activation_scale));
      const { pass, grad_norm, dead, l0, lr } = trainStep(reference, x, config, row.step - 1);
      const { fvu, explained_variance } = varianceMetrics(x, pass.error, config.d_in);
      sawDead ||= dead.length > 0;
      const close = (actual: number, expected: number, what: string) =>
        expect(Math.abs(actual - expected), `step ${row.step} ${what}`).toBeLessThanOrEqual(
          2e-5 * Math.abs(expected),
        );
      close(row.mse_loss, pass.mse_loss, "mse_loss");
      close(row.aux_loss, pass.aux_loss, "aux_loss");
      close(row.loss, pass.mse_loss + pass.aux_loss, "loss");
      close(row.fvu, fvu, "fvu");
      close(1 - row.explained_variance, 1 - explained_variance, "explained_variance");
      close(row.grad_norm, grad_norm, "grad_norm");
      close(row.l0, l0, "l0");
      expect(row).toMatchObject({
        dead_features: dead.length,
        lr,
        tokens: row.step * config.train_batch_size_tokens,
      });
    }
    expect(sawDead).toBe(true);
    const trained = float64(final);
    for (const name of parameterNames) {
      expect(relativeError(trained.parameters[name], reference.parameters[name]), name).toBeLessThan(1e-5);
      expect(relativeError(trained.m[name], reference.m[name]), `m ${name}`).toBeLessThan(2e-5);
      expect(relativeError(trained.v[name], reference.v[name]), `v ${name}`).toBeLessThan(2e-5);
    }
    expect([...trained.tokens_since_fired]).toEqual([...reference.tokens_since_fired]);
  });
});

test("the same seed gives the same bits, another seed others", async () => {
  const [first, second, other] = [await train({}), await train({}), await train({ seed: 43 })];
  expect(second.final).toEqual(first.final);
  expect(other.final.tensors.W_enc).not.toEqual(first.final.tensors.W_enc);
});

test("a run resumed from a snapshot ends with the bits of one that was not interrupted", async () => {
  const whole = await train({});
  const half = await train({}, 9);
  expect(half.final.step).toBe(9);
  const resumed = await train({}, undefined, half.final);
  expect(resumed.metrics.map(({ step }) => step)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
  expect(resumed.final).toEqual(whole.final);
});

test("tokens in several chunks of pre-activations give the bits of one chunk", async () => {
  const whole = await train({ train_batch_size_tokens: 200, training_tokens: 20 * 200 });
  const { limits } = gpu.capabilities;
  // Room for the pre-activations of 117 tokens.
  const small = { ...limits, max_storage_buffer_binding_size: 33_000 };
  const chunked: Gpu = {
    device: gpu.device,
    capabilities: { ...gpu.capabilities, limits: small },
    ledger: gpu.ledger,
    pipelines: gpu.pipelines,
    lost: gpu.lost,
    uncapturedError: () => gpu.uncapturedError(),
    close: () => gpu.close(),
  };
  const trainer = await createTrainer({ gpu: chunked, config: whole.config, source: whole.source });
  for (let i = 0; i < 20; i++) await trainer.advance();
  expect((await trainer.snapshot()).tensors).toEqual(whole.final.tensors);
  trainer.close();
});

test("a token that is not finite ends the training at its step", async () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const config = configure({ b_dec_init_method: "zeros", normalize_activations: "none" });
    const rows = activations(2000, config.d_in, 5);
    rows[(6 * 45 + 7) * config.d_in + 3] = bad;
    const trainer = await createTrainer({ gpu, config, source: new ArraySource(rows, config.d_in) });
    const run = async () => {
      while (trainer.step < trainer.totalSteps) await trainer.advance();
      await trainer.drain();
    };
    await expect(run()).rejects.toMatchObject({ name: "DivergedError", step: 7 });
    await expect(trainer.snapshot()).rejects.toThrow(DivergedError);
    trainer.close();
  }
});

test("a lost device ends the training with a typed error", async () => {
  const config = configure({ training_tokens: 1000 * 45 });
  const doomed = await openGpu({ robust: true });
  const source = new ArraySource(activations(100, config.d_in, 5), config.d_in);
  const trainer = await createTrainer({ gpu: doomed, config, source });
  await trainer.advance();
  doomed.device.destroy();
  const run = async () => {
    while (trainer.step < trainer.totalSteps) await trainer.advance();
  };
  await expect(run()).rejects.toThrow(DeviceFailedError);
  await expect(trainer.snapshot()).rejects.toThrow(DeviceFailedError);
  trainer.close();
  doomed.close();
});

test("the memory plan is what the ledger holds, and closing gives all of it back", async () => {
  const before = gpu.ledger.used;
  for (const overrides of [{}, { aux_loss_coefficient: 0 }, { apply_b_dec_to_input: false, d_sae: 301 }]) {
    const config = configure(overrides);
    const source = new ArraySource(activations(200, config.d_in, 5), config.d_in);
    const trainer = await createTrainer({ gpu, config, source });
    expect(planMemory(config, source, gpu.capabilities)).toEqual(trainer.memory);
    expect(gpu.ledger.used - before).toBe(trainer.memory.total);
    trainer.close();
    expect(gpu.ledger.used).toBe(before);
  }
});

test("a state of another shape is refused, and nothing stays allocated", async () => {
  const { final } = await train({}, 1);
  const before = gpu.ledger.used;
  await expect(train({ d_sae: 71 }, 1, final)).rejects.toThrow(StateMismatchError);
  expect(gpu.ledger.used).toBe(before);
});

test("evaluation over several batches equals the reference over all their tokens, and touches no state", async () => {
  const config = configure({});
  const source = new ArraySource(activations(100, config.d_in, 5), config.d_in);
  const trainer = await createTrainer({ gpu, config, source });
  for (let i = 0; i < 5; i++) await trainer.advance();
  const state = await trainer.snapshot();
  const evaluation = await trainer.evaluate(1000);
  expect(await trainer.snapshot()).toEqual(state);
  const x = Float64Array.from(source.batch(0, 99), (value) => value * Math.fround(state.activation_scale));
  const pass = forward(float64(state).parameters, x, config, []);
  const frequency = new Float64Array(config.d_sae);
  pass.selected.forEach((features, t) => {
    for (const f of features) if (pass.z[t * config.d_sae + f]! > 0) frequency[f]! += 1 / 99;
  });
  const { fvu, explained_variance } = varianceMetrics(x, pass.error, config.d_in);
  // Three batches of 33, the largest equal ones of at most 45.
  expect(evaluation.tokens).toBe(99);
  expect(evaluation.mse).toBeCloseTo(pass.mse_loss, 4);
  expect(evaluation.fvu).toBeCloseTo(fvu, 5);
  expect(evaluation.explained_variance).toBeCloseTo(explained_variance, 5);
  expect(evaluation.l0).toBeCloseTo(
    frequency.reduce((a, b) => a + b),
    6,
  );
  expect(evaluation.dead_features).toBe(frequency.filter((f) => f === 0).length);
  expect(relativeError(evaluation.feature_frequency, frequency)).toBeLessThan(1e-6);
  trainer.close();
});

test("the exported SAE reconstructs raw activations as the trained one does scaled ones", async () => {
  const config = configure({});
  const source = new ArraySource(activations(500, config.d_in, 5), config.d_in);
  const trainer = await createTrainer({ gpu, config, source });
  for (let i = 0; i < 5; i++) await trainer.advance();
  const sae = await trainer.exportSae();
  const state = await trainer.snapshot();
  trainer.close();
  expect(sae.W_enc.shape).toEqual([config.d_in, config.d_sae]);
  expect(sae.W_dec.shape).toEqual([config.d_sae, config.d_in]);
  const W_enc = new Float64Array(config.d_sae * config.d_in);
  for (let f = 0; f < config.d_sae; f++) {
    for (let i = 0; i < config.d_in; i++) W_enc[f * config.d_in + i] = sae.W_enc.data[i * config.d_sae + f]!;
  }
  const exported = {
    W_enc,
    W_dec: Float64Array.from(sae.W_dec.data),
    b_enc: Float64Array.from(sae.b_enc.data),
    b_dec: Float64Array.from(sae.b_dec.data),
  };
  const raw = Float64Array.from(source.batch(0, 50));
  const s = state.activation_scale;
  const onRaw = forward(exported, raw, config, []);
  const onScaled = forward(
    float64(state).parameters,
    raw.map((value) => value * s),
    config,
    [],
  );
  expect(relativeError(onRaw.z, onScaled.z)).toBeLessThan(1e-6);
  expect(
    relativeError(
      onRaw.error.map((e) => e * s),
      onScaled.error,
    ),
  ).toBeLessThan(1e-6);
});

test("the training loop checkpoints at intervals, at a pause and at the end, and hands out every row once", async () => {
  const config = configure({ metrics_every_steps: 3 });
  const source = new ArraySource(activations(500, config.d_in, 5), config.d_in);
  const trainer = await createTrainer({ gpu, config, source });
  const steps: number[] = [];
  const saved: number[] = [];
  const options = {
    onMetrics: (rows: StepMetrics[]) => {
      steps.push(...rows.map(({ step }) => step));
    },
    onCheckpoint: async (state: TrainerState) => {
      saved.push(state.step);
    },
    checkpointEverySteps: 8,
  };
  const pauseAtTen = () => (trainer.step === 10 ? "pause" : "continue");
  expect(await runTraining(trainer, { ...options, control: pauseAtTen })).toBe("paused");
  expect(saved).toEqual([8, 10]);
  expect(await runTraining(trainer, options)).toBe("completed");
  expect(saved).toEqual([8, 10, 16, 20]);
  expect(steps).toEqual([3, 6, 9, 12, 15, 18, 20]);
  const aborted = runTraining(trainer, { ...options, signal: AbortSignal.abort(new Error("enough")) });
  await expect(aborted).rejects.toThrow("enough");
  trainer.close();
});
