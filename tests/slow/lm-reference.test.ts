import { expect, test } from "vitest";
import {
  lossOn,
  shakespeareLoss,
  shakespeareMissing,
  shakespeareModel,
  shakespeareTokens,
  validationWindows,
} from "../reference/lm/shakespeare.ts";

test("a trained GPT-2 has the loss on its validation text that was stated with it", {
  timeout: 5 * 60_000,
}, async ({ skip }) => {
  if (shakespeareMissing !== null) skip(shakespeareMissing);
  const loss = lossOn(await shakespeareModel(), validationWindows(await shakespeareTokens()));
  expect(Math.abs(loss - (await shakespeareLoss()))).toBeLessThan(1e-5);
});
