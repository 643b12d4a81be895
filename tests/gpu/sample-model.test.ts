import { readFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { openLanguageModel } from "../../gpu/lm/language-model.ts";
import { openModelFolder } from "../../server/models/model-folder.ts";
import { sampleDescription } from "../../server/sample/description.ts";
import { sampleFiles } from "../../server/sample/files.ts";
import { recipe } from "../../server/sample/recipe.ts";
import { labelledStream } from "../../server/sample/token-labels.ts";
import { Encoder } from "../../server/sample/tokenizer/encode.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

test("the shipped model's loss is the one that its training measured", async () => {
  const json = async (file: string) => JSON.parse(await readFile(file, "utf8"));
  const { held_out } = sampleDescription.parse(await json(sampleFiles.description));
  const { folder } = sampleFiles.model;
  const encoder = new Encoder({
    tokenizer: await json(path.join(folder, "tokenizer.json")),
    config: await json(path.join(folder, "tokenizer_config.json")),
  });
  const length = recipe.shape.n_ctx;
  const { ids } = labelledStream(encoder, recipe.text_seed, held_out.first_windows * length);
  const { spec, weights, close } = await openModelFolder(folder);
  const lm = await openLanguageModel({
    gpu,
    spec,
    weights,
    hooks: [],
    logits: true,
    n_sequences: held_out.first_windows,
    length,
  });
  const losses = await lm.crossEntropy(Uint32Array.from(ids));
  lm.close();
  await close();
  const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  expect(mean).toBeCloseTo(held_out.first_loss, 4);
});
