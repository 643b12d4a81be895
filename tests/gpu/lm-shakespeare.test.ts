import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { describeModel } from "../../gpu/lm/families/index.ts";
import { openLanguageModel } from "../../gpu/lm/language-model.ts";
import {
  shakespeareActivations,
  shakespeareLoss,
  shakespeareMissing,
  shakespeareModel,
  shakespeareTokens,
  validationWindows,
} from "../reference/lm/shakespeare.ts";
import { weightsOf } from "./lm-models.ts";

/* A trained model, with activations and a loss that other software made of it. */

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

/** Tokens of a context, and predictions of a window. */
const length = 128;

async function open(hooks: string[], n_sequences: number) {
  const model = await shakespeareModel();
  const spec = describeModel(model.config);
  return openLanguageModel({
    gpu,
    spec,
    weights: weightsOf(model),
    hooks,
    n_sequences,
    length,
    logits: hooks.length === 0,
  });
}

test("a trained GPT-2 has the activations that other software found", async ({ skip }) => {
  if (shakespeareMissing !== null) skip(shakespeareMissing);
  const hook = "blocks.2.hook_resid_post";
  const contexts = [0, 350, 700, 1000];
  const lm = await open([hook], contexts.length);
  const tokens = await shakespeareTokens();
  const ids = Uint32Array.from(contexts.flatMap((c) => tokens.slice(c * length, (c + 1) * length)));
  const actual = (await lm.forward(ids)).get(hook)!;
  lm.close();
  for (const [i, context] of contexts.entries()) {
    const stored = await shakespeareActivations(context);
    // Rounded to f16; what is beyond is both sides' f32.
    const excess = stored.map((value, at) => {
      return Math.abs(actual[i * stored.length + at]! - value) - 2 ** -11 * Math.abs(value);
    });
    expect(
      excess.reduce((a, b) => Math.max(a, b)),
      `context ${context}`,
    ).toBeLessThan(1e-5);
  }
});

test("and predicts its validation text as well as was stated with it", {
  timeout: 5 * 60_000,
}, async ({ skip }) => {
  if (shakespeareMissing !== null) skip(shakespeareMissing);
  const together = 16;
  const windows = validationWindows(await shakespeareTokens());
  const lm = await open([], together);
  const { d_vocab } = lm.spec;
  const losses: number[] = [];
  for (let first = 0; first < windows.length; first += together) {
    const batch = windows.slice(first, first + together);
    const ids = Uint32Array.from(batch.flatMap((window) => window.slice(0, length)));
    const logits = await lm.logits(ids);
    batch.forEach((window, i) => {
      for (let t = 0; t < length; t++) {
        const at = (i * length + t) * d_vocab;
        const row = logits.subarray(at, at + d_vocab);
        const total = row.reduce((sum, logit) => sum + Math.exp(logit), 0);
        losses.push(Math.log(total) - row[window[t + 1]!]!);
      }
    });
    if (first > 0) continue;
    // The same without a window's last token, which is only predicted.
    const own = await lm.crossEntropy(ids);
    own.forEach((loss, i) => {
      const mean = losses.slice(i * length, (i + 1) * length - 1).reduce((a, b) => a + b) / (length - 1);
      expect(loss).toBeCloseTo(mean, 5);
    });
  }
  lm.close();
  const mean = losses.reduce((a, b) => a + b) / losses.length;
  expect(Math.abs(mean - (await shakespeareLoss()))).toBeLessThan(2e-5);
});
