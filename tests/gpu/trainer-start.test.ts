import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import { StateMismatchError } from "../../gpu/sae/errors.ts";
import type { StateTensor } from "../../gpu/sae/sae.ts";
import type { TrainerState } from "../../gpu/sae/trainer.ts";
import { normals } from "./kernel-data.ts";
import { configure, sourceFor, train } from "./training.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterAll(() => gpu.close());

/** The state before the first step. */
async function start(config: TrainingConfig, init?: Record<string, StateTensor>): Promise<TrainerState> {
  return (await train(gpu, config, { steps: 0, ...(init && { init }) })).initial;
}

/** Norms of pieces of so many numbers. */
function norms(tensor: StateTensor, width: number): number[] {
  const count = tensor.data.length / width;
  return Array.from({ length: count }, (_, i) =>
    Math.hypot(...tensor.data.subarray(i * width, (i + 1) * width)),
  );
}

const [d_in, d_sae] = [18, 70];

describe("fresh weights", () => {
  test("unit decoder rows, the encoder as the decoder, everything else zero", async () => {
    const { tensors } = await start(configure());
    for (const norm of norms(tensors.W_dec!, d_in)) expect(norm).toBeCloseTo(1, 6);
    expect(tensors.W_enc).toEqual(tensors.W_dec);
    for (const name of ["b_enc", "adam_m.W_enc", "adam_v.W_dec", "tokens_since_fired", "steering"]) {
      expect(
        tensors[name]!.data.every((value) => value === 0),
        name,
      ).toBe(true);
    }
    expect(new Set(norms(tensors.W_dec!, 1)).size).toBeGreaterThan((d_in * d_sae) / 2);
  });

  test("a free decoder has its own norm, untied directions are their own", async () => {
    const config = configure({
      decoder_norm: "free",
      decoder_init_norm: 0.25,
      init_encoder_as_decoder_transpose: false,
      ema_decay: 0.5,
    });
    const { tensors } = await start(config);
    for (const norm of norms(tensors.W_dec!, d_in)) expect(norm).toBeCloseTo(0.25, 6);
    for (const norm of norms(tensors.W_enc!, d_in)) expect(norm).toBeCloseTo(0.25, 6);
    expect(tensors.W_enc).not.toEqual(tensors.W_dec);
    for (const name of ["W_enc", "W_dec", "b_enc", "b_dec"]) {
      expect(tensors[`ema.${name}`], name).toEqual(tensors[name]);
    }
  });

  test("a crosscoder's hook points share the norm, and have scales and means of their own", async () => {
    const config = configure({
      architecture: "crosscoder",
      base_architecture: "topk",
      n_hook_points: 2,
      k: 4,
      decoder_norm: "unit",
      center_activations: true,
      b_dec_init_method: "mean",
    });
    const rows = 4 * 45;
    const raw = sourceFor(config).batch(0, rows);
    const { tensors } = await start(config);
    for (const norm of norms(tensors.W_dec!, d_in)) expect(norm).toBeCloseTo(Math.SQRT1_2, 6);
    for (const point of [0, 1]) {
      const mean = Float64Array.from({ length: d_in }, (_, c) => {
        let sum = 0;
        for (let t = 0; t < rows; t++) sum += raw[t * 2 * d_in + point * d_in + c]!;
        return sum / rows;
      });
      let length = 0;
      for (let t = 0; t < rows; t++) {
        const row = raw.subarray(t * 2 * d_in + point * d_in, t * 2 * d_in + (point + 1) * d_in);
        length += Math.hypot(...row.map((value, c) => value - mean[c]!)) / rows;
      }
      mean.forEach((value, c) => {
        expect(tensors.input_mean!.data[point * d_in + c]).toBeCloseTo(value, 5);
      });
      expect(tensors.input_scale!.data[point]).toBeCloseTo(Math.sqrt(d_in) / length, 5);
    }
    // The mean of what is centred.
    for (const value of tensors.b_dec!.data) expect(value).toBeCloseTo(0, 5);
  });
});

describe("given weights", () => {
  test("are taken in SAELens' orientation, the others stay as they would be", async () => {
    const config = configure({ ema_decay: 0.5 });
    const given = normals(d_in * d_sae, 1);
    const b_enc = normals(d_sae, 2);
    const { tensors } = await start(config, {
      W_enc: { shape: [d_in, d_sae], data: given },
      b_enc: { shape: [d_sae], data: b_enc },
    });
    const fresh = await start(config);
    const turned = Float32Array.from(given, (_, i) => given[(i % d_in) * d_sae + Math.floor(i / d_in)]!);
    expect(tensors.W_enc).toEqual({ shape: [d_sae, d_in], data: turned });
    expect(tensors.b_enc!.data).toEqual(b_enc);
    expect(tensors["ema.W_enc"]).toEqual(tensors.W_enc);
    expect(tensors["ema.b_enc"]).toEqual(tensors.b_enc);
    expect(tensors.W_dec).toEqual(fresh.tensors.W_dec);
    expect(tensors.b_dec).toEqual(fresh.tensors.b_dec);
  });

  test.each<[string, Record<string, StateTensor>, RegExp]>([
    [
      "a name it has not",
      { threshold: { shape: [d_sae], data: normals(d_sae, 1) } },
      /no parameter threshold/,
    ],
    [
      "the other orientation",
      { W_enc: { shape: [d_sae, d_in], data: normals(d_sae * d_in, 1) } },
      /W_enc.*\[18, 70\]/,
    ],
    ["another size", { b_dec: { shape: [d_in + 1], data: normals(d_in + 1, 1) } }, /b_dec/],
    ["whole numbers", { b_enc: { shape: [d_sae], data: new Uint32Array(d_sae) } }, /b_enc/],
  ])("are refused with %s, and nothing stays allocated", async (_name, init, message) => {
    const before = gpu.ledger.used;
    const refused = start(configure(), init);
    await expect(refused).rejects.toThrow(StateMismatchError);
    await expect(refused).rejects.toThrow(message);
    expect(gpu.ledger.used).toBe(before);
  });
});
