import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import {
  shakespeareActivations,
  shakespeareMissing,
  shakespeareTokens,
} from "../reference/lm/shakespeare.ts";
import { shakespeareLength as length, openShakespeare } from "./lm-models.ts";

/* A trained model, with activations that other software made of it; its loss is among the slow tests. */

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

test("a trained GPT-2 has the activations that other software found", async ({ skip }) => {
  if (shakespeareMissing !== null) skip(shakespeareMissing);
  const hook = "blocks.2.hook_resid_post";
  const contexts = [0, 350, 700, 1000];
  const lm = await openShakespeare(gpu, [hook], contexts.length);
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
