import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { shakespeareLength as length, openShakespeare } from "../gpu/lm-models.ts";
import {
  shakespeareLoss,
  shakespeareMissing,
  shakespeareTokens,
  validationWindows,
} from "../reference/lm/shakespeare.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

test("a trained GPT-2 on the GPU predicts its validation text as well as was stated with it", {
  timeout: 5 * 60_000,
}, async ({ skip }) => {
  if (shakespeareMissing !== null) skip(shakespeareMissing);
  const together = 16;
  const windows = validationWindows(await shakespeareTokens());
  const lm = await openShakespeare(gpu, [], together);
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
