import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { widthsOf } from "../../gpu/sae/architecture.ts";
import type { TrainingConfig, TrainingConfigInput } from "../../gpu/sae/config.ts";
import { RandomStream } from "../../gpu/sae/random.ts";
import { resamplesBefore } from "../../gpu/sae/resample.ts";
import type { StateTensor } from "../../gpu/sae/sae.ts";
import { createTrainer, type TrainerState } from "../../gpu/sae/trainer.ts";
import { contextAt, forward } from "../reference/oracle.ts";
import {
  configure,
  normalised,
  parametersOf,
  referenceOf,
  relativeError,
  sourceFor,
  train,
} from "./training.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterAll(() => gpu.close());

const [rows, every, tokens] = [45, 5, 99];

function resampling(overrides: Partial<TrainingConfigInput>): TrainingConfig {
  return configure({
    ...overrides,
    resample: true,
    resample_every_steps: every,
    resample_times: 2,
    resample_tokens: tokens,
  });
}

/** Every ninth feature cannot fire; what else a feature has is not what it starts with. */
function muted(config: TrainingConfig): Record<string, StateTensor> {
  const of = (value: (f: number) => number): StateTensor => ({
    shape: [config.d_sae],
    data: Float32Array.from({ length: config.d_sae }, (_, f) => value(f)),
  });
  const bias = of((f) => (f % 9 === 4 ? -100 : 0.1));
  switch (config.architecture) {
    case "gated":
      return { b_gate: bias, b_mag: of(() => 0.2), r_mag: of(() => -0.3) };
    case "jumprelu":
      return { b_enc: bias, threshold: of((f) => 0.1 + f / 1000) };
    default:
      return { b_enc: bias };
  }
}

/** Features silent for more than half the steps between two resamplings. */
function silent(state: TrainerState): number[] {
  const ages = state.tensors.tokens_since_fired!.data;
  return [...ages.keys()].filter((f) => ages[f]! > (every * rows) / 2);
}

const row = ({ tensors }: TrainerState, name: string, f: number, d_sae = 70): Float64Array => {
  const { data } = tensors[name]!;
  const width = data.length / d_sae;
  return Float64Array.from(data.subarray(f * width, (f + 1) * width));
};
const length = (values: Float64Array) => Math.hypot(...values);

/** What each dead feature must have drawn: a token, with probability proportional to its squared loss. */
function drawn(config: TrainingConfig, state: TrainerState, x: Float64Array, y: Float64Array, count: number) {
  const judged =
    config.ema_decay === null ? parametersOf(config, state) : parametersOf(config, state, "ema.");
  const context = contextAt(referenceOf(config, state), config, every);
  const { error } = forward(judged, x, y, config, context);
  const { output } = widthsOf(config);
  let sum = 0;
  const cumulative = Array.from({ length: tokens }, (_, t) => {
    sum += length(error.slice(t * output, (t + 1) * output)) ** 4;
    return sum;
  });
  const random = new RandomStream((config.seed ^ Math.imul(every, 0x9e3779b1)) >>> 0);
  return Array.from({ length: count }, () => {
    const wanted = random.uniform() * sum;
    return cumulative.findIndex((upTo) => upTo > wanted);
  });
}

describe.each<[string, Partial<TrainingConfigInput>]>([
  ["topk, averages, f16", { k: 4, ema_decay: 0.7, precision: "f16" }],
  ["jumprelu", { architecture: "jumprelu", jumprelu_init_threshold: 0.8, l0_coefficient: 0.2 }],
  ["gated", { architecture: "gated", l1_coefficient: 0.05 }],
  ["transcoder", { architecture: "transcoder", k: 4, d_out: 11 }],
  ["crosscoder over topk", { architecture: "crosscoder", base_architecture: "topk", n_hook_points: 2, k: 4 }],
])("%s", (_name, overrides) => {
  test("dead features start anew in the direction of badly explained tokens", async () => {
    const config = resampling(overrides);
    const source = sourceFor(config, 300);
    const trainer = await createTrainer({ gpu, config, source, init: muted(config) });
    while (trainer.step < every) await trainer.advance();
    const before = await trainer.snapshot();
    const dead = silent(before);
    expect(dead).toEqual(expect.arrayContaining([4, 13, 67]));
    expect(dead.length).toBeLessThan(config.d_sae / 2);
    await trainer.beforeStep();
    const after = await trainer.snapshot();

    // As evaluated: batches of 33, the same rows.
    const { x, y } = normalised(config, before, source.batch(0, tokens));
    const choice = drawn(config, before, x, y, dead.length);
    const { input, output } = widthsOf(config);
    const judged = parametersOf(config, before, config.ema_decay === null ? "" : "ema.");
    const seen = x.map((value, i) => value - (config.apply_b_dec_to_input ? judged.b_dec![i % input]! : 0));
    const target = config.architecture === "transcoder" ? y : seen;
    const alive = [...Array(config.d_sae).keys()].filter((f) => !dead.includes(f));
    const mean = alive.reduce((sum, f) => sum + length(row(before, "W_enc", f)), 0) / alive.length;
    for (const [index, f] of dead.entries()) {
      const token = choice[index]!;
      const towards = (values: Float64Array, width: number, norm: number) => {
        const own = values.slice(token * width, (token + 1) * width);
        return own.map((value) => (norm * value) / length(own));
      };
      // The row read back is f32, and normalised in float64.
      expect(relativeError(row(after, "W_dec", f), towards(target, output, 1)), `feature ${f}`).toBeLessThan(
        1e-5,
      );
      expect(relativeError(row(after, "W_enc", f), towards(seen, input, 0.2 * mean))).toBeLessThan(1e-5);
      expect(after.tensors.tokens_since_fired!.data[f]).toBe(0);
    }
    const perFeature = Object.keys(after.tensors).filter((name) => {
      const { shape } = after.tensors[name]!;
      return shape[0] === config.d_sae && name !== "tokens_since_fired";
    });
    for (const name of perFeature) {
      const plain = name.replace("ema.", "");
      for (const f of dead) {
        if (name.startsWith("adam_")) expect(length(row(after, name, f)), `${name} ${f}`).toBe(0);
        else if (plain === "threshold") expect(row(after, name, f)[0]).toBeCloseTo(0.8, 6);
        else if (plain.startsWith("W_")) expect(row(after, name, f)).toEqual(row(after, plain, f));
        else expect(row(after, name, f)[0], `${name} ${f}`).toBe(0);
      }
      for (const f of alive) expect(row(after, name, f), `${name} ${f}`).toEqual(row(before, name, f));
    }
    for (const name of Object.keys(after.tensors)) {
      if (!perFeature.includes(name) && name !== "tokens_since_fired") {
        expect(after.tensors[name], name).toEqual(before.tensors[name]);
      }
    }

    // What goes on with the new features is what a trainer of this state does: also the 16-bit copies are theirs.
    await trainer.advance();
    const next = await trainer.snapshot();
    trainer.close();
    const resumed = await train(gpu, config, { source, resume: after, steps: 1 });
    expect(resumed.final).toEqual(next);
  });
});

test("a run with resampling gives the same bits again, and when resumed before, at and after one", async () => {
  const config = resampling({ k: 4 });
  const options = { source: sourceFor(config, 300), init: muted(config) };
  const whole = await train(gpu, config, options);
  const plain = await train(gpu, { ...config, resample: false }, options);
  expect(plain.final.tensors.W_dec).not.toEqual(whole.final.tensors.W_dec);
  for (const steps of [3, every, 7, 2 * every]) {
    const first = await train(gpu, config, { ...options, steps });
    const resumed = await train(gpu, config, { source: options.source, resume: first.final });
    expect(resumed.final, `resumed at ${steps}`).toEqual(whole.final);
  }
});

test("features are resampled at the given steps, so many times, and not at the start", () => {
  const config = resampling({ k: 4 });
  const steps = [...Array(20).keys()].filter((step) => resamplesBefore(config, step));
  expect(steps).toEqual([5, 10]);
  expect(steps.some((step) => resamplesBefore({ ...config, resample: false }, step))).toBe(false);
});

test("where no feature is dead nothing changes", async () => {
  const config = resampling({ k: 70, aux_loss_coefficient: 0, d_in: 4 });
  const b_enc = { shape: [70], data: new Float32Array(70).fill(9) };
  const trainer = await createTrainer({ gpu, config, source: sourceFor(config, 300), init: { b_enc } });
  while (trainer.step < every) await trainer.advance();
  const before = await trainer.snapshot();
  expect(silent(before)).toEqual([]);
  await trainer.beforeStep();
  expect(await trainer.snapshot()).toEqual(before);
  trainer.close();
});
