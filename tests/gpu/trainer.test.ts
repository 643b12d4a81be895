import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import type { TrainingConfigInput } from "../../gpu/sae/config.ts";
import { DeviceFailedError, DivergedError, StateMismatchError } from "../../gpu/sae/errors.ts";
import type { StateTensor } from "../../gpu/sae/sae.ts";
import { createTrainer, planMemory, type StepMetrics, type TrainerState } from "../../gpu/sae/trainer.ts";
import { runTraining } from "../../gpu/sae/training-loop.ts";
import { ArraySource } from "../reference/array-source.ts";
import { plantedActivations } from "./planted-activations.ts";
import { configure, sourceFor, train } from "./training.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterAll(() => {
  expect(gpu.uncapturedError()).toBeNull();
  gpu.close();
});

const l1 = { l1_coefficient: 0.05, l1_warm_up_steps: 4 };
/** Every base architecture, with something of all that is carried from step to step. */
const carried: [string, Partial<TrainingConfigInput>][] = [
  [
    "standard, target L0, averages",
    { architecture: "standard", target_l0: 5, target_l0_gain: 0.05, ema_decay: 0.9, ...l1 },
  ],
  ["gated, f16", { architecture: "gated", precision: "f16", ...l1 }],
  [
    "jumprelu, target L0, f16",
    {
      architecture: "jumprelu",
      jumprelu_bandwidth: 0.3,
      l0_coefficient: 0.2,
      target_l0: 5,
      target_l0_gain: 0.05,
      pre_act_loss_coefficient: 0.01,
      precision: "f16",
    },
  ],
  [
    "topk, multi, annealed",
    { architecture: "topk", k: 3, multi_topk: true, k_anneal_from: 6, k_anneal_steps: 15 },
  ],
  [
    "batchtopk, free decoder, averages",
    { architecture: "batchtopk", k: 3.3, decoder_norm: "free", ema_decay: 0.9 },
  ],
  [
    "matryoshka, AuxK at every level, f16",
    {
      architecture: "matryoshka_batchtopk",
      k: 4,
      matryoshka_widths: [9, 33, 70],
      use_matryoshka_aux_loss: true,
      precision: "f16",
    },
  ],
  ["skip transcoder", { architecture: "skip_transcoder", k: 4, d_out: 11, ema_decay: 0.9 }],
];

describe.each(carried)("%s", (_name, overrides) => {
  test("the same seed gives the same bits, also in a run that was interrupted", async () => {
    const config = configure(overrides);
    const whole = await train(gpu, config);
    const half = await train(gpu, config, { steps: 9 });
    expect(half.final.step).toBe(9);
    const resumed = await train(gpu, config, { resume: half.final });
    expect(resumed.initial).toEqual(half.final);
    expect(resumed.metrics.map(({ step }) => step)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
    expect(resumed.final).toEqual(whole.final);
    // Throughput and the ledger are of the machine, not of the run.
    const numbers = (rows: StepMetrics[]) =>
      rows.map(({ tokens_per_second: _, gpu_bytes: __, ...row }) => row);
    expect(numbers([...half.metrics, ...resumed.metrics])).toEqual(numbers(whole.metrics));
  });
});

test("another seed gives other weights", async () => {
  const config = configure();
  const first = await train(gpu, config, { steps: 1 });
  const other = await train(gpu, { ...config, seed: 43 }, { steps: 1 });
  expect(other.initial.tensors.W_enc).not.toEqual(first.initial.tensors.W_enc);
});

test("a token that is not finite ends the training at its step", async () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const config = configure({ b_dec_init_method: "zeros", normalize_activations: "none" });
    const rows = plantedActivations(2000, config.d_in, 5);
    rows[(6 * 45 + 7) * config.d_in + 3] = bad;
    const trainer = await createTrainer({ gpu, config, source: new ArraySource(rows, config.d_in) });
    const run = async () => {
      while (trainer.step < trainer.totalSteps) await trainer.advance();
      await trainer.drain();
    };
    await expect(run()).rejects.toMatchObject({ name: "DivergedError", step: 7 });
    await expect(trainer.snapshot()).rejects.toThrow(DivergedError);
    await expect(trainer.exportSae()).rejects.toThrow(DivergedError);
    trainer.close();
  }
});

test("a target that is not finite ends a transcoder's training too", async () => {
  const config = configure({
    architecture: "transcoder",
    k: 4,
    d_out: 11,
    b_dec_init_method: "zeros",
    normalize_activations: "none",
  });
  const rows = plantedActivations(2000, 29, 5);
  rows[(2 * 45 + 7) * 29 + 20] = Number.NaN;
  const run = train(gpu, config, { source: new ArraySource(rows, 29) });
  await expect(run).rejects.toMatchObject({ name: "DivergedError", step: 3 });
});

test("a lost device ends the training with a typed error", async () => {
  const config = configure({ training_tokens: 1000 * 45 });
  const doomed = await openGpu({ robust: true });
  const trainer = await createTrainer({ gpu: doomed, config, source: sourceFor(config, 100) });
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

describe("the memory plan", () => {
  test.each<[string, Partial<TrainingConfigInput>]>([
    ...carried,
    ["no AuxK", { aux_loss_coefficient: 0 }],
    ["b_dec not subtracted, odd size", { apply_b_dec_to_input: false, d_sae: 301 }],
    ["lp_norm 2", { architecture: "standard", lp_norm: 2, ...l1 }],
    [
      "layer_norm, resampling",
      { normalize_activations: "layer_norm", resample: true, resample_every_steps: 5 },
    ],
    ["crosscoder", { architecture: "crosscoder", n_hook_points: 3, ...l1 }],
  ])("is what the ledger holds, and closing gives all of it back: %s", async (_name, overrides) => {
    const before = gpu.ledger.used;
    const config = configure(overrides);
    const source = sourceFor(config, 200);
    const trainer = await createTrainer({ gpu, config, source });
    expect(planMemory(config, source)).toEqual(trainer.memory);
    expect(trainer.memory.total).toBe(trainer.memory.parts.reduce((sum, { bytes }) => sum + bytes, 0));
    expect(gpu.ledger.used - before).toBe(trainer.memory.total);
    trainer.close();
    trainer.close();
    expect(gpu.ledger.used).toBe(before);
  });

  test("a run that does not fit is refused, and nothing stays allocated", async () => {
    const small = await openGpu({ robust: true, budgetBytes: 200_000 });
    const config = configure({ d_sae: 4096 });
    const refused = createTrainer({ gpu: small, config, source: sourceFor(config, 200) });
    await expect(refused).rejects.toMatchObject({ name: "OutOfMemoryError" });
    expect(small.ledger.used).toBe(0);
    small.close();
  });
});

test("a state that does not fit is refused, and nothing stays allocated", async () => {
  const { final } = await train(gpu, configure(), { steps: 1 });
  const before = gpu.ledger.used;
  const resume = (tensors: Record<string, StateTensor | undefined>, overrides = {}) => {
    const given = Object.entries({ ...final.tensors, ...tensors }).filter(
      (entry): entry is [string, StateTensor] => entry[1] !== undefined,
    );
    return train(gpu, configure(overrides), { resume: { step: 1, tensors: Object.fromEntries(given) } });
  };
  const { tensors } = final;
  await expect(resume({}, { d_sae: 71 })).rejects.toThrow(StateMismatchError);
  await expect(resume({}, { architecture: "jumprelu" })).rejects.toThrow(/threshold/);
  await expect(resume({}, { ema_decay: 0.9 })).rejects.toThrow(/ema\.W_enc/);
  await expect(resume({ "adam_v.b_enc": undefined })).rejects.toThrow(/adam_v\.b_enc/);
  await expect(resume({ input_mean: undefined })).rejects.toThrow(/input_mean/);
  await expect(resume({ W_dec: { ...tensors.W_dec!, shape: [18, 70] } })).rejects.toThrow(
    /W_dec.*\[18, 70\]/,
  );
  const floats = { shape: [70], data: new Float32Array(70) };
  await expect(resume({ tokens_since_fired: floats })).rejects.toThrow(/tokens_since_fired is f32/);
  expect(gpu.ledger.used).toBe(before);
});

test("a source of another width is refused, and no step is taken beyond the last", async () => {
  const config = configure({ training_tokens: 45 });
  const wide = new ArraySource(plantedActivations(100, 19, 5), 19);
  await expect(createTrainer({ gpu, config, source: wide })).rejects.toThrow(/18 columns.*19/);
  const trainer = await createTrainer({ gpu, config, source: sourceFor(config, 100) });
  await trainer.advance();
  await expect(trainer.advance()).rejects.toThrow(/All 1 steps/);
  trainer.close();
});

test("the training loop checkpoints at intervals, at a pause and at the end, and hands out every row once", async () => {
  const config = configure({ metrics_every_steps: 3 });
  const trainer = await createTrainer({ gpu, config, source: sourceFor(config, 500) });
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
