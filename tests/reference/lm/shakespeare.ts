import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { blobSource, readFloats, readSafetensorsHeader } from "../../../gpu/data/safetensors.ts";
import { tokenize } from "./byte-level-bpe.ts";
import type { Config, HuggingFaceModel, Tensor } from "./hugging-face.ts";
import { crossEntropy, forward } from "./transformer.ts";

/** A small trained GPT-2 with its text, activations and loss, made by other software; beside the repository, if at all. */

const shared = path.resolve(import.meta.dirname, "../../../../shared");
const folder = path.join(shared, "models/shakespeare-gpt2");
export const shakespeareFolder = folder;

/** Why tests of it are skipped, or null where it is there. */
export const shakespeareMissing = existsSync(folder) ? null : `There is no ${folder}.`;

/** Its context: the longest sequence. */
const context = 128;

async function readTensors(file: string): Promise<Map<string, Tensor>> {
  const source = blobSource(new Blob([await readFile(file)]));
  const { tensors } = await readSafetensorsHeader(source);
  const read = [...tensors.values()].map(
    async (info) => [info.name, { shape: info.shape, data: await readFloats(source, info) }] as const,
  );
  return new Map(await Promise.all(read));
}

const readJson = async (name: string): Promise<unknown> =>
  JSON.parse(await readFile(path.join(folder, name), "utf8"));

export async function shakespeareModel(): Promise<HuggingFaceModel> {
  const config = (await readJson("config.json")) as Config;
  return { config, tensors: await readTensors(path.join(folder, "model.safetensors")) };
}

/** The text in tokens; reference.json says that there are 459,891. */
export async function shakespeareTokens(): Promise<number[]> {
  const text = await readFile(path.join(shared, "text/tinyshakespeare.txt"), "utf8");
  return tokenize(text, (await readJson("tokenizer.json")) as Parameters<typeof tokenize>[1]);
}

/** Mean loss in nats over all validation windows, as measured where the model was trained. */
export async function shakespeareLoss(): Promise<number> {
  return ((await readJson("reference.json")) as { mean_cross_entropy_nats: number }).mean_cross_entropy_nats;
}

/** The 178 windows of the validation text, 129 tokens each: 128 are read, the last is only predicted. */
export function validationWindows(tokens: readonly number[]): number[][] {
  const validation = tokens.slice(-22_995);
  const count = Math.floor(validation.length / (context + 1));
  return Array.from({ length: count }, (_, w) =>
    validation.slice(w * (context + 1), (w + 1) * (context + 1)),
  );
}

/** Mean loss of the reference on windows of equal length, in nats; a quarter of a second for each. */
export function lossOn(model: HuggingFaceModel, windows: readonly (readonly number[])[]): number {
  const losses = windows.map((window) =>
    crossEntropy(forward(model, [window.slice(0, -1)]).logits, [window.slice(1)]),
  );
  return losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
}

/** blocks.2.hook_resid_post of one context of the text, rounded to f16, [128, 128]. */
export async function shakespeareActivations(number: number): Promise<Float32Array> {
  const file = path.join(shared, "activations/shakespeare-gpt2.blocks.2.hook_resid_post.safetensors");
  const source = blobSource(new Blob([await readFile(file)]));
  const info = (await readSafetensorsHeader(source)).tensors.get("activations")!;
  return readFloats(source, info, number * context * 128, context * 128);
}
