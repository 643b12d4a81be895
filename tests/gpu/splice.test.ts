import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { describeModel } from "../../gpu/lm/families/index.ts";
import { requireHookPoint, UnknownHookError } from "../../gpu/lm/hook-points.ts";
import { openLanguageModel } from "../../gpu/lm/language-model.ts";
import { SpliceError } from "../../gpu/lm/splice.ts";
import { evaluateInModel } from "../../gpu/metrics/evaluate-in-model.ts";
import { reconstruct } from "../../gpu/sae/inference.ts";
import type { Sae } from "../../gpu/sae/sae.ts";
import { ArrayTokens } from "../reference/array-tokens.ts";
import { logSumExp } from "../reference/lm/arithmetic.ts";
import { randomTokens } from "../reference/lm/random-model.ts";
import { type Forward, forward } from "../reference/lm/transformer.ts";
import { type Variant, variantLength, variants } from "../reference/lm/variants.ts";
import { weightsOf } from "./lm-models.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterAll(() => {
  expect(gpu.uncapturedError()).toBeNull();
  gpu.close();
});

const n = 3;
/** Losses are of a few nats, in f32; a few layers and the vocabulary's sum leave less than this. */
const tolerance = 2e-5;

function sequencesOf(model: Variant): number[][] {
  return Array.from({ length: n }, (_, i) => randomTokens(model.config, variantLength, 40 + i));
}

/** −ln p of each next token, 0 for the last, and ln p of all, by row. */
function predictions({ logits }: Forward, sequences: readonly number[][]) {
  const d_vocab = logits.shape.at(-1)!;
  const rows = sequences.flat().map((_, row) => {
    const own = logits.data.subarray(row * d_vocab, (row + 1) * d_vocab);
    const total = logSumExp(own);
    return Float64Array.from(own, (logit) => logit - total);
  });
  const losses = rows.map((logs, row) =>
    row % variantLength === variantLength - 1 ? 0 : -logs[sequences.flat()[row + 1]!]!,
  );
  return { rows, losses };
}

function divergence(p: Float64Array, q: Float64Array): number {
  return p.reduce((sum, log, c) => sum + Math.exp(log) * (log - q[c]!), 0);
}

describe.each(["gpt2", "gpt_neox", "llama", "gemma2"])("%s", (name) => {
  const model = variants().find((one) => one.name.startsWith(name))!;
  const spec = describeModel(model.config);
  const sequences = sequencesOf(model);
  const ids = Uint32Array.from(sequences.flat());
  const places = [
    "hook_embed",
    "blocks.0.hook_resid_pre",
    ...(spec.parallel ? [] : ["blocks.1.hook_resid_mid"]),
    "blocks.0.attn.hook_z",
    "blocks.1.hook_attn_out",
    "blocks.0.mlp.hook_post",
    "blocks.0.hook_mlp_out",
    "blocks.1.hook_resid_post",
  ];

  test.each(places)("what is put in the place of %s changes the predictions as in float64", async (hook) => {
    const used = gpu.ledger.used;
    const { width } = requireHookPoint(spec, hook);
    const change = (value: number, at: number) => 0.7 * value + 0.3 * Math.sin(at % (width * 5));
    const lm = await openLanguageModel({
      gpu,
      spec,
      weights: weightsOf(model),
      hooks: [],
      splice: hook,
      n_sequences: n,
      length: variantLength,
      logits: true,
    });
    const { clean, replaced } = await lm.spliced(ids, [
      (activations) => activations.get(hook)!.map(change),
      (activations) => activations.get(hook)!,
    ]);
    const size = variantLength * width;
    const expectedClean = predictions(forward(model, sequences), sequences);
    const expected = predictions(
      forward(model, sequences, (at, activations, sequence) =>
        at === hook ? activations.map((value, i) => change(value, sequence * size + i)) : activations,
      ),
      sequences,
    );
    const [changed, same] = replaced as [(typeof replaced)[0], (typeof replaced)[0]];
    for (let row = 0; row < ids.length; row++) {
      const kl = divergence(expectedClean.rows[row]!, expected.rows[row]!);
      expect(Math.abs(changed.kl[row]! - kl), `KL of row ${row}`).toBeLessThan(tolerance);
      expect(same.kl[row]).toBe(0);
      if (row % variantLength === variantLength - 1) continue;
      expect(Math.abs(clean[row]! - expectedClean.losses[row]!)).toBeLessThan(tolerance);
      expect(Math.abs(changed.losses[row]! - expected.losses[row]!)).toBeLessThan(tolerance);
      expect(same.losses[row]).toBe(clean[row]);
    }
    lm.close();
    expect(gpu.ledger.used).toBe(used);
  });
});

/** x̂ = max(x, 0) − max(−x, 0), which is x to the bit; times a factor. */
function identitySae(d: number, factor = 1): Sae {
  const signs = [1, -1];
  const W_enc = new Float32Array(d * 2 * d);
  const W_dec = new Float32Array(2 * d * d);
  for (const [half, sign] of signs.entries()) {
    for (let i = 0; i < d; i++) {
      W_enc[i * 2 * d + half * d + i] = sign;
      W_dec[(half * d + i) * d + i] = factor * sign;
    }
  }
  return {
    config: {
      activation: "relu",
      d_in: d,
      d_out: d,
      d_sae: 2 * d,
      k: null,
      rescale_acts_by_decoder_norm: false,
      apply_b_dec_to_input: false,
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
    },
    tensors: {
      W_enc: { shape: [d, 2 * d], data: W_enc },
      W_dec: { shape: [2 * d, d], data: W_dec },
      b_enc: { shape: [2 * d], data: new Float32Array(2 * d) },
      b_dec: { shape: [d], data: new Float32Array(d) },
    },
  };
}

/** The first token is special, the last sequence ends in padding. */
const kinds = Array.from({ length: n * variantLength }, (_, at) => {
  if (at % variantLength === 0) return 1;
  return at >= n * variantLength - 4 ? 2 : 0;
});

describe("an SAE within its model", () => {
  const model = variants().find((one) => one.name === "gpt2")!;
  const spec = describeModel(model.config);
  const sequences = sequencesOf(model);
  const hook = "blocks.1.hook_resid_pre";
  const evaluate = (sae: Sae, overrides: object = {}) =>
    evaluateInModel({
      gpu,
      spec,
      weights: weightsOf(model),
      tokens: new ArrayTokens(sequences, kinds),
      hook,
      sae,
      first_sequence: 0,
      n_sequences: n,
      sequences_together: 2,
      ...overrides,
    });

  test("that gives back what it gets loses nothing at all", async () => {
    const result = await evaluate(identitySae(spec.d_model));
    expect(result.ce_spliced).toBe(result.ce_clean);
    expect(result.delta_ce).toBe(0);
    expect(result.kl).toBe(0);
    expect(result.loss_recovered).toBe(1);
    expect(result.loss_recovered_mean).toBe(1);
    expect(result.l0).toBe(spec.d_model);
    expect(result.fvu).toBe(0);
    expect(result.n_tokens).toBe(kinds.filter((kind) => kind === 0).length);
  });

  test("that gives back zero loses what zero loses", async () => {
    const result = await evaluate(identitySae(spec.d_model, 0));
    expect(result.ce_spliced).toBe(result.ce_zero);
    expect(result.loss_recovered).toBe(0);
    expect(result.ce_zero).not.toBe(result.ce_clean);
  });

  test("is measured as in float64: text alone is replaced, and text alone is predicted", async () => {
    const sae = identitySae(spec.d_model, 0.8);
    const result = await evaluate(sae);
    const clean = predictions(forward(model, sequences), sequences);
    const d = spec.d_model;
    const text = kinds.flatMap((kind, row) => (kind === 0 ? [row] : []));
    const whole = forward(model, sequences).hooks.get(hook)!.data;
    const mean = Float64Array.from({ length: d }, (_, c) =>
      text.reduce((sum, row) => sum + whole[row * d + c]! / text.length, 0),
    );
    const with_ = (of: (row: Float64Array) => Float64Array) =>
      predictions(
        forward(model, sequences, (at, activations, sequence) => {
          if (at !== hook) return activations;
          const changed = activations.slice();
          for (let position = 0; position < variantLength; position++) {
            if (kinds[sequence * variantLength + position] !== 0) continue;
            changed.set(of(activations.subarray(position * d, (position + 1) * d)), position * d);
          }
          return changed;
        }),
        sequences,
      );
    const predicted = kinds.flatMap((_, row) =>
      row % variantLength < variantLength - 1 && kinds[row + 1] === 0 ? [row] : [],
    );
    const average = (of: (row: number) => number) =>
      predicted.reduce((sum, row) => sum + of(row), 0) / predicted.length;
    const spliced = with_((row) => reconstruct(sae, row));
    const zero = with_((row) => row.map(() => 0));
    const averaged = with_(() => mean);
    expect(result.n_predictions).toBe(predicted.length);
    const expected = {
      ce_clean: average((row) => clean.losses[row]!),
      ce_spliced: average((row) => spliced.losses[row]!),
      ce_zero: average((row) => zero.losses[row]!),
      ce_mean: average((row) => averaged.losses[row]!),
      kl: average((row) => divergence(clean.rows[row]!, spliced.rows[row]!)),
    };
    for (const [figure, value] of Object.entries(expected)) {
      expect(Math.abs(result[figure as keyof typeof expected] - value), figure).toBeLessThan(tolerance);
    }
    expect(result.fvu).toBeGreaterThan(0.01);
  });

  test("of a transcoder is put where it writes", async () => {
    const d = spec.d_model;
    const zero = identitySae(d, 0);
    const transcoder = { ...zero, config: { ...zero.config, transcoder: true } };
    const [hookIn, hook_out] = ["blocks.0.hook_mlp_in", "blocks.0.hook_mlp_out"];
    const result = await evaluate(transcoder, { hook: hookIn, hook_out });
    expect(result.ce_spliced).toBe(result.ce_zero);
    const elsewhere = await evaluate(zero, { hook: hook_out });
    expect(result.ce_spliced).toBe(elsewhere.ce_spliced);
  });

  test("where nothing can be put, or of another width, is refused", async () => {
    const used = gpu.ledger.used;
    const sae = identitySae(spec.d_model);
    await expect(evaluate(sae, { hook: "blocks.1.ln1.hook_normalized" })).rejects.toThrow(SpliceError);
    await expect(evaluate(sae, { hook: "blocks.9.hook_resid_pre" })).rejects.toThrow(UnknownHookError);
    await expect(evaluate(sae, { hook: "blocks.1.mlp.hook_post" })).rejects.toThrow(/has width/);
    const padding = new ArrayTokens(sequences, new Array(kinds.length).fill(2));
    await expect(evaluate(sae, { tokens: padding })).rejects.toThrow(/no|None/);
    expect(gpu.ledger.used).toBe(used);
  });
});
