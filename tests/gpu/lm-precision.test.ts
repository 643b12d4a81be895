import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readFloats, readSafetensorsHeader } from "../../gpu/data/safetensors.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { planForward } from "../../gpu/lm/allocation.ts";
import { describeModel } from "../../gpu/lm/families/index.ts";
import { hookPoints } from "../../gpu/lm/hook-points.ts";
import { openLanguageModel, plannedBytes } from "../../gpu/lm/language-model.ts";
import { ModelWeightsError, WeightRangeError } from "../../gpu/lm/load-weights.ts";
import { type Precision, precisions } from "../../gpu/lm/precision.ts";
import { openRegularFile } from "../../server/formats/regular-file.ts";
import { toHalf } from "../reference/half.ts";
import type { HuggingFaceModel, Tensor } from "../reference/lm/hugging-face.ts";
import { randomModel, randomTokens } from "../reference/lm/random-model.ts";
import {
  shakespeareMissing,
  shakespeareModel,
  shakespeareTokens,
  validationWindows,
} from "../reference/lm/shakespeare.ts";
import { forward } from "../reference/lm/transformer.ts";
import { variantLength, variants } from "../reference/lm/variants.ts";
import { facet } from "./facet-command.ts";
import { asHardware, withCapabilities } from "./kernel-bench.ts";
import { relativeError, shakespeareLength, weightsOf } from "./lm-models.ts";
import { rounded as storedIn, writeModelFolder, writeTokens } from "./model-folders.ts";

/*
 * With the weights that a precision leaves, the pass is as near to float64 as in f32: what it costs is the rounding of
 * the weights and nothing else.
 */
const tolerance = 2e-5;

let gpu: Gpu;
let folder: string;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
  folder = await mkdtemp(path.join(tmpdir(), "facet-precision-"));
});
afterAll(async () => {
  expect(gpu.uncapturedError()).toBeNull();
  expect(gpu.ledger.used).toBe(0);
  gpu.close();
  await rm(folder, { recursive: true });
});

/** GPT-2's linear layers are [in, out]; all others, and embeddings, are [out, in]. */
const isConv1d = (name: string) => /c_(attn|proj|fc)\.weight$/.test(name);

/** The model with the weights that the precision leaves of it. */
function roundedTo(precision: Precision, { config, tensors }: HuggingFaceModel): HuggingFaceModel {
  const round = (name: string, { shape, data }: Tensor): Tensor => {
    if (precision === "f32" || shape.length !== 2 || name.endsWith("wpe.weight")) return { shape, data };
    if (precision === "f16") return { shape, data: Float64Array.from(data, toHalf) };
    const [rows, columns] = shape as [number, number];
    const result = Float64Array.from(data);
    const [outputs, inputs] = isConv1d(name) ? [columns, rows] : [rows, columns];
    for (let output = 0; output < outputs; output++) {
      const at = (input: number) => (isConv1d(name) ? input * columns + output : output * columns + input);
      const all = Array.from({ length: inputs }, (_, input) => data[at(input)]!);
      const scale = Math.fround(Math.max(...all.map(Math.abs)) / 127);
      all.forEach((value, input) => {
        result[at(input)] = scale * Math.round(value / scale);
      });
    }
    return { shape, data: result };
  };
  return { config, tensors: new Map([...tensors].map(([name, tensor]) => [name, round(name, tensor)])) };
}

const all = variants();
const chosen = [
  "gpt2",
  "gpt2 untied, unscaled scores",
  "gpt_neox sequential, d_head 10",
  "llama 3.1, tied, biases",
  "llama, 3 heads on 1",
  "gemma2",
  "phi",
  "phi3, window 6",
].map((name) => {
  const model = all.find((one) => one.name === name);
  if (model === undefined) throw new Error(`There is no variant ${name}.`);
  return model;
});

describe.each(["f16", "int8"] as const)("%s", (precision) => {
  test.each(chosen)(
    "every hook point and the logits are those of the rounded weights: $name",
    async (model) => {
      const spec = describeModel(model.config);
      const sequences = [5, 6].map((seed) => randomTokens(model.config, variantLength, seed));
      const ids = Uint32Array.from(sequences.flat());
      const hooks = hookPoints(spec).map(({ name }) => name);
      const size = { hooks, n_sequences: 2, length: variantLength, logits: true, precision };
      const lm = await openLanguageModel({ gpu, spec, weights: weightsOf(model), ...size });
      const expected = forward(roundedTo(precision, model), sequences);
      const exact = forward(model, sequences);
      for (const [hook, data] of await lm.forward(ids)) {
        expect(relativeError(data, expected.hooks.get(hook)!.data), hook).toBeLessThan(tolerance);
      }
      const logits = await lm.logits(ids);
      expect(relativeError(logits, expected.logits.data)).toBeLessThan(tolerance);
      // It is no f32, and near it.
      const cost = relativeError(logits, exact.logits.data);
      expect(cost).toBeGreaterThan(precision === "f16" ? 5e-5 : 2e-3);
      expect(cost).toBeLessThan(precision === "f16" ? 2e-3 : 0.05);
      lm.close();
    },
  );

  test.each(["gemma2", "gpt2"])("workgroups of hardware, in pieces of the vocabulary: %s", async (name) => {
    const { config } = all.find((one) => one.name === name)!;
    const model = randomModel({ ...config, vocab_size: 301 }, 5);
    const spec = describeModel(model.config);
    const hardware = asHardware(gpu);
    const limits = { ...gpu.capabilities.limits, max_storage_buffer_binding_size: 4096 };
    const small = withCapabilities(hardware, { subgroup_min_size: 0, limits });
    const sequences = [randomTokens(model.config, 5, 3)];
    const size = { hooks: ["hook_embed"], n_sequences: 1, length: 5, logits: true, precision };
    const { pieces } = planForward(spec, small.capabilities, size).program;
    expect(pieces.length).toBeGreaterThan(1);
    const lm = await openLanguageModel({ gpu: small, spec, weights: weightsOf(model), ...size });
    const ids = Uint32Array.from(sequences.flat());
    const expected = forward(roundedTo(precision, model), sequences);
    const embed = (await lm.forward(ids)).get("hook_embed")!;
    expect(relativeError(embed, expected.hooks.get("hook_embed")!.data)).toBeLessThan(tolerance);
    expect(relativeError(await lm.logits(ids), expected.logits.data)).toBeLessThan(tolerance);
    lm.close();
  });

  test("a trained model loses little by it", async ({ skip }) => {
    if (shakespeareMissing !== null) skip(shakespeareMissing);
    const model = await shakespeareModel();
    const windows = validationWindows(await shakespeareTokens()).slice(0, 8);
    const ids = Uint32Array.from(windows.flatMap((window) => window.slice(0, shakespeareLength)));
    const loss = async (stored: Precision) => {
      const lm = await openLanguageModel({
        ...{ gpu, spec: describeModel(model.config), weights: weightsOf(model), precision: stored },
        ...{ hooks: [], n_sequences: 8, length: shakespeareLength, logits: true },
      });
      const losses = await lm.crossEntropy(ids);
      lm.close();
      return losses.reduce((sum, one) => sum + one, 0) / losses.length;
    };
    const cost = Math.abs((await loss(precision)) - (await loss("f32")));
    expect(cost).toBeGreaterThan(0);
    expect(cost).toBeLessThan(precision === "f16" ? 2e-4 : 5e-3);
  });

  test("numbers that are not finite are refused when they are loaded, and all is given back", async () => {
    const model = all.find(({ name }) => name === "qwen2, tied")!;
    const name = "model.layers.1.mlp.up_proj.weight";
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const weights = weightsOf(withNumber(model, name, bad));
      const opening = openLanguageModel({
        ...{ gpu, spec: describeModel(model.config), weights, precision },
        ...{ hooks: ["blocks.1.hook_resid_post"], n_sequences: 1, length: 4 },
      });
      await expect(opening).rejects.toThrow(ModelWeightsError);
      await expect(opening).rejects.toThrow(name);
      expect(gpu.ledger.used).toBe(0);
    }
  });
});

function withNumber({ config, tensors }: HuggingFaceModel, name: string, number: number): HuggingFaceModel {
  const { shape, data } = tensors.get(name)!;
  return {
    config,
    tensors: new Map(tensors).set(name, { shape, data: Float32Array.from(data).fill(number, 3, 4) }),
  };
}

test("a weight beyond f16 is refused in f16, with f32 advised, and taken in f32 and int8", async () => {
  const model = all.find(({ name }) => name === "mistral, window 5")!;
  const name = "model.layers.0.self_attn.v_proj.weight";
  const open = (value: number, precision: Precision) =>
    openLanguageModel({
      ...{ gpu, spec: describeModel(model.config), weights: weightsOf(withNumber(model, name, value)) },
      ...{ hooks: ["blocks.0.hook_resid_post"], n_sequences: 1, length: 4, precision },
    });
  for (const value of [65_520, -1e6]) {
    const opening = open(value, "f16");
    await expect(opening).rejects.toThrow(WeightRangeError);
    await expect(opening).rejects.toThrow(/v_proj\.weight.*f32/);
    expect(gpu.ledger.used).toBe(0);
    for (const precision of ["f32", "int8"] as const) (await open(value, precision)).close();
  }
  (await open(65_519, "f16")).close();
});

test("capture says what to do about a weight beyond f16", async () => {
  const model = all.find(({ name }) => name === "gpt2")!;
  const at = path.join(folder, "beyond");
  await writeModelFolder(at, withNumber(model, "transformer.h.1.mlp.c_fc.weight", 1e5));
  const tokens = await writeTokens(path.join(at, "ids.safetensors"), [randomTokens(model.config, 5, 1)]);
  const files = ["--model", at, "--tokens", tokens, "--out", path.join(at, "acts.safetensors")];
  const { code, err } = await facet(
    "capture",
    ...files,
    "--hooks",
    "blocks.1.hook_mlp_out",
    "--precision",
    "f16",
  );
  expect(code).toBe(2);
  expect(err).toMatch(/^--precision: .*c_fc.*Run the model in f32/);
});

describe("memory", () => {
  const model = all.find(({ name }) => name === "llama, 3 heads on 1")!;
  const spec = describeModel(model.config);
  const size = { hooks: ["blocks.1.hook_resid_post"], n_sequences: 2, length: variantLength };

  test.each(precisions)("is what was planned, %s", async (precision) => {
    const own = await openGpu({ robust: true });
    const lm = await openLanguageModel({ gpu: own, spec, weights: weightsOf(model), ...size, precision });
    await lm.forward(new Uint32Array(2 * variantLength));
    expect(own.ledger.peak).toBe(plannedBytes(spec, own.capabilities, { ...size, precision }));
    lm.close();
    own.close();
  });

  test("is two bytes or one for each number of a matrix, and four for each of its rows in int8", () => {
    // Widths 18 → 20 and 29 → 32; heads of 6 → 8: three of queries, one of keys. 37 tokens → 40.
    const rowsOf = { q: 24, k: 8, v: 8, o: 20, gate: 32, up: 32, down: 20 };
    const inputs = { q: 20, k: 20, v: 20, o: 24, gate: 20, up: 20, down: 32 };
    const names = Object.keys(rowsOf) as (keyof typeof rowsOf)[];
    const numbers = 40 * 20 + 2 * names.reduce((sum, name) => sum + rowsOf[name] * inputs[name], 0);
    const rows = 40 + 2 * names.reduce((sum, name) => sum + rowsOf[name], 0);
    const bytes = (precision: Precision) => plannedBytes(spec, gpu.capabilities, { ...size, precision });
    expect(bytes("f32") - bytes("f16")).toBe(2 * numbers);
    expect(bytes("f32") - bytes("int8")).toBe(3 * numbers - 4 * rows);
  });
});

test.each([
  ["BF16", "f16"],
  ["F16", "int8"],
  ["F16", "f16"],
] as const)("a checkpoint in %s is captured in %s", async (dtype, precision) => {
  const model = all.find(({ name }) => name === "llama 3.1, tied, biases")!;
  const at = path.join(folder, `${dtype}-${precision}`);
  await writeModelFolder(at, model, { dtype, shards: 2 });
  const sequences = [4, 5, 6].map((seed) => randomTokens(model.config, 9, seed));
  const tokens = await writeTokens(path.join(at, "ids.safetensors"), sequences);
  const [out, hook] = [path.join(at, "acts.safetensors"), "blocks.1.hook_resid_post"];
  const line = ["--model", at, "--tokens", tokens, "--hooks", hook, "--out", out, "--batch-size", "2"];
  const { code, err } = await facet("capture", ...line, "--precision", precision);
  expect(code, err).toBe(0);
  const source = await openRegularFile(out);
  const header = await readSafetensorsHeader(source);
  const info = header.tensors.get(hook)!;
  const data = await readFloats(
    source,
    info,
    0,
    info.shape.reduce((product, extent) => product * extent, 1),
  );
  await source.close();
  const expected = forward(roundedTo(precision, storedIn(model, dtype)), sequences);
  expect(relativeError(data, expected.hooks.get(hook)!.data)).toBeLessThan(tolerance);
  const wrong = await facet("capture", ...line, "--precision", "int4");
  expect(wrong.code).toBe(2);
  expect(wrong.err).toContain("--precision");
});
