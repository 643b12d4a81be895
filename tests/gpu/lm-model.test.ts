import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BufferTooLargeError, OutOfMemoryError } from "../../gpu/device/errors.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { planForward } from "../../gpu/lm/allocation.ts";
import { describeModel } from "../../gpu/lm/families/index.ts";
import { hookPoints, UnknownHookError } from "../../gpu/lm/hook-points.ts";
import {
  type LanguageModel,
  NonFiniteModelError,
  openLanguageModel,
  plannedBytes,
} from "../../gpu/lm/language-model.ts";
import { ModelWeightsError } from "../../gpu/lm/load-weights.ts";
import type { WeightSource } from "../../gpu/lm/weights.ts";
import { randomModel, randomTokens } from "../reference/lm/random-model.ts";
import { forward } from "../reference/lm/transformer.ts";
import { variantLength, variants } from "../reference/lm/variants.ts";
import { asHardware, withCapabilities } from "./kernel-bench.ts";
import { relativeError, weightsOf } from "./lm-models.ts";

const tolerance = 2e-5;

let gpu: Gpu;
let before: number;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
  before = gpu.ledger.used;
});
afterAll(() => {
  expect(gpu.uncapturedError()).toBeNull();
  expect(gpu.ledger.used, "bytes not given back").toBe(before);
  gpu.close();
});

const all = variants();
function variant(name: string) {
  const model = all.find((one) => one.name === name);
  if (model === undefined) throw new Error(`There is no variant ${name}.`);
  return { model, spec: describeModel(model.config), weights: weightsOf(model) };
}

/** The source, with what was read of it. */
function watched(weights: WeightSource) {
  const read = new Set<string>();
  const source: WeightSource = {
    ...weights,
    rows(name, first, count) {
      read.add(name);
      return weights.rows(name, first, count);
    },
  };
  return { source, read };
}

async function using<T>(lm: LanguageModel, use: (lm: LanguageModel) => Promise<T>): Promise<T> {
  try {
    return await use(lm);
  } finally {
    lm.close();
  }
}

const length = variantLength;
const sequencesOf = (config: { readonly [key: string]: unknown }, n: number) =>
  Array.from({ length: n }, (_, i) => randomTokens(config, length, 31 + i));

describe.each(["gpt2", "phi", "gemma2"])("one hook point alone, %s", (name) => {
  test("is the same as among all, and only what lies before it is loaded", async () => {
    const { model, spec, weights } = variant(name);
    const sequences = sequencesOf(model.config, 2);
    const ids = Uint32Array.from(sequences.flat());
    const expected = forward(model, sequences);
    const loaded: number[] = [];
    for (const { name: hook } of hookPoints(spec)) {
      const { source, read } = watched(weights);
      const lm = await openLanguageModel({
        gpu,
        spec,
        weights: source,
        hooks: [hook],
        n_sequences: 2,
        length,
      });
      const activations = await using(lm, (open) => open.forward(ids));
      expect([...activations.keys()]).toEqual([hook]);
      expect(relativeError(activations.get(hook)!, expected.hooks.get(hook)!.data), hook).toBeLessThan(
        tolerance,
      );
      loaded.push(read.size);
      const layer = Number(/^blocks\.(\d+)/.exec(hook)?.[1] ?? -1);
      for (const tensor of read) {
        expect(Number(/(?:layers|h)\.(\d+)\./.exec(tensor)?.[1] ?? -1), tensor).toBeLessThanOrEqual(layer);
        expect(tensor).not.toMatch(/ln_f|final|lm_head|model\.norm/);
      }
    }
    expect(loaded).toEqual(loaded.toSorted((a, b) => a - b));
    expect(loaded[0]).toBe(1);
  });
});

describe("calls", () => {
  test("of fewer sequences, one after the other without waiting, give their own activations", async () => {
    const { model, spec, weights } = variant("llama 3.1, tied, biases");
    const sequences = sequencesOf(model.config, 4);
    const hook = "blocks.1.hook_resid_post";
    const lm = await openLanguageModel({
      gpu,
      spec,
      weights,
      hooks: [hook],
      n_sequences: 3,
      length,
      logits: true,
    });
    await using(lm, async (open) => {
      const parts = [sequences.slice(0, 3), sequences.slice(3), sequences.slice(1, 3)];
      const calls = parts.map((part) => open.forward(Uint32Array.from(part.flat())));
      const losses = open.crossEntropy(Uint32Array.from(sequences[2]!));
      for (const [i, part] of parts.entries()) {
        const expected = forward(model, part).hooks.get(hook)!.data;
        expect(relativeError((await calls[i]!).get(hook)!, expected)).toBeLessThan(tolerance);
      }
      expect([...(await losses)]).toEqual([expect.closeTo(forward(model, [sequences[2]!]).crossEntropy, 5)]);
    });
  });

  test("tokens beyond the vocabulary and parts of sequences are refused, and the model goes on", async () => {
    const { model, spec, weights } = variant("gpt2");
    const hooks = ["hook_embed"];
    const lm = await openLanguageModel({ gpu, spec, weights, hooks, n_sequences: 2, length });
    await using(lm, async (open) => {
      const ids = Uint32Array.from(sequencesOf(model.config, 2).flat());
      for (const bad of [spec.d_vocab, 2 ** 32 - 1]) {
        const wrong = ids.slice();
        wrong[length + 3] = bad;
        await expect(open.forward(wrong)).rejects.toThrow(RangeError);
        await expect(open.forward(wrong)).rejects.toThrow(/Token 3 of sequence 1/);
      }
      for (const count of [0, 1, length - 1, 3 * length]) {
        await expect(open.forward(new Uint32Array(count)), `${count} tokens`).rejects.toThrow(RangeError);
      }
      await expect(open.logits(ids)).rejects.toThrow(/not opened for logits/);
      expect((await open.forward(ids)).get("hook_embed")).toHaveLength(ids.length * spec.d_model);
    });
    await expect(lm.forward(new Uint32Array(length))).rejects.toThrow(/closed/);
  });

  test("closing waits for the calls that run", async () => {
    const { model, spec, weights } = variant("gpt2");
    const hooks = ["blocks.0.hook_resid_post"];
    const lm = await openLanguageModel({ gpu, spec, weights, hooks, n_sequences: 1, length });
    const running = [1, 2].map(() => lm.forward(Uint32Array.from(sequencesOf(model.config, 1).flat())));
    lm.close();
    lm.close();
    for (const call of running) expect((await call).size).toBe(1);
    expect(gpu.ledger.used).toBe(before);
  });

  test("no hook points and no logits load nothing", async () => {
    const { spec, weights } = variant("gpt2");
    const { source, read } = watched(weights);
    const lm = await openLanguageModel({ gpu, spec, weights: source, hooks: [], n_sequences: 1, length });
    expect(gpu.ledger.used).toBe(before);
    expect(await using(lm, (open) => open.forward(new Uint32Array(length)))).toEqual(new Map());
    expect(read.size).toBe(0);
  });

  test("numbers that are not finite are an error of the call that meets them", async () => {
    const { model, spec } = variant("qwen2, tied");
    const tensors = new Map(model.tensors);
    const name = "model.embed_tokens.weight";
    const { shape, data } = tensors.get(name)!;
    const damaged = 3;
    const row = data.length / spec.d_vocab;
    tensors.set(name, {
      shape,
      data: Float32Array.from(data).fill(Number.NaN, damaged * row, damaged * row + 1),
    });
    const weights = weightsOf({ config: model.config, tensors });
    const hooks = ["blocks.1.attn.hook_z"];
    const lm = await openLanguageModel({ gpu, spec, weights, hooks, n_sequences: 1, length });
    await using(lm, async (open) => {
      const good = new Uint32Array(length).fill(damaged + 1);
      const bad = good.with(5, damaged);
      for (let round = 0; round < 2; round++) {
        await expect(open.forward(bad)).rejects.toThrow(NonFiniteModelError);
        expect((await open.forward(good)).size).toBe(1);
      }
    });
  });
});

describe("adapters", () => {
  test.each(["gpt_neox sequential, d_head 10", "gemma3_text, layer_types and rope_parameters"])(
    "workgroups of hardware, without subgroups: %s",
    async (name) => {
      const { model, spec, weights } = variant(name);
      const limits = { ...gpu.capabilities.limits, max_compute_workgroups_per_dimension: 3 };
      const hardware = withCapabilities(asHardware(gpu), { subgroup_min_size: 0, limits });
      const sequences = sequencesOf(model.config, 2);
      const ids = Uint32Array.from(sequences.flat());
      const hooks = hookPoints(spec).map((hook) => hook.name);
      const options = { gpu: hardware, spec, weights, hooks, n_sequences: 2, length, logits: true };
      await using(await openLanguageModel(options), async (open) => {
        const expected = forward(model, sequences);
        for (const [hook, data] of await open.forward(ids)) {
          expect(relativeError(data, expected.hooks.get(hook)!.data), hook).toBeLessThan(tolerance);
        }
        expect(relativeError(await open.logits(ids), expected.logits.data)).toBeLessThan(tolerance);
        const [a, b] = await open.crossEntropy(ids);
        expect((a! + b!) / 2).toBeCloseTo(expected.crossEntropy, 5);
      });
    },
  );

  test.each(["gemma2", "phi", "gpt2 untied, unscaled scores"])(
    "small bindings cut the vocabulary in pieces: %s",
    async (name) => {
      const model = randomModel({ ...variant(name).model.config, vocab_size: 301 }, 5, name.includes("bare"));
      const spec = describeModel(model.config);
      const weights = weightsOf(model);
      // As large as the largest other weight.
      const padded = (size: number) => 4 * Math.ceil(size / 4);
      const heads = spec.n_heads * padded(spec.d_head);
      const largest = 4 * padded(spec.d_model) * Math.max(padded(spec.d_mlp), heads);
      const limits = { ...gpu.capabilities.limits, max_storage_buffer_binding_size: largest };
      const small = withCapabilities(gpu, { limits });
      const sequences = [randomTokens(model.config, 5, 3)];
      const ids = Uint32Array.from(sequences.flat());
      const options = { spec, weights, hooks: ["hook_embed"], n_sequences: 1, length: 5, logits: true };
      const { pieces } = planForward(spec, small.capabilities, options).program;
      expect(pieces.length).toBeGreaterThan(2);
      expect(pieces.at(-1)!.count).not.toBe(pieces[0]!.count);
      await using(await openLanguageModel({ ...options, gpu: small }), async (open) => {
        const expected = forward(model, sequences);
        const embed = (await open.forward(ids)).get("hook_embed")!;
        expect(relativeError(embed, expected.hooks.get("hook_embed")!.data)).toBeLessThan(tolerance);
        expect(relativeError(await open.logits(ids), expected.logits.data)).toBeLessThan(tolerance);
        expect((await open.crossEntropy(ids))[0]).toBeCloseTo(expected.crossEntropy, 5);
      });
    },
  );

  test("what is too large to bind is refused by name", () => {
    const { spec } = variant("gpt2");
    const limits = { ...gpu.capabilities.limits, max_storage_buffer_binding_size: 1024 };
    const size = { hooks: ["blocks.0.hook_resid_post"], n_sequences: 1, length };
    expect(() => plannedBytes(spec, { ...gpu.capabilities, limits }, size)).toThrow(BufferTooLargeError);
  });
});

describe("opening", () => {
  test.each([true, false])("takes the bytes that were planned, with logits: %s", async (logits) => {
    const { model, spec, weights } = variant("phi3, window 6");
    const hooks = ["blocks.0.mlp.hook_post", "blocks.1.attn.hook_z"];
    const size = { hooks, n_sequences: 2, length, logits };
    const own = await openGpu({ robust: true });
    const lm = await openLanguageModel({ gpu: own, spec, weights, ...size });
    await using(lm, (open) => open.forward(Uint32Array.from(sequencesOf(model.config, 2).flat())));
    if (!logits) expect(own.ledger.peak).toBe(plannedBytes(spec, own.capabilities, size));
    expect(own.ledger.peak).toBeLessThanOrEqual(plannedBytes(spec, own.capabilities, size));
    own.close();
  });

  test("gives everything back where the budget ends or a file cannot be read", async () => {
    const { spec, weights } = variant("llama, 3 heads on 1");
    const size = { hooks: ["blocks.1.hook_resid_post"], n_sequences: 1, length };
    const bytes = plannedBytes(spec, gpu.capabilities, size);
    for (const budgetBytes of [0, 1_000, Math.floor(bytes / 2)]) {
      const tight = await openGpu({ robust: true, budgetBytes });
      await expect(openLanguageModel({ gpu: tight, spec, weights, ...size })).rejects.toThrow(
        OutOfMemoryError,
      );
      expect(tight.ledger.used).toBe(0);
      tight.close();
    }
    const torn: WeightSource = {
      ...weights,
      rows: (name, first, count) => {
        if (name.includes("layers.1.mlp.up")) throw new Error("The disk is gone.");
        return weights.rows(name, first, count);
      },
    };
    await expect(openLanguageModel({ gpu, spec, weights: torn, ...size })).rejects.toThrow(/disk is gone/);
    expect(gpu.ledger.used).toBe(before);
  });

  test("a tensor that is missing or of another shape is named, before anything is read", async () => {
    const { model, spec, weights } = variant("mistral, window 5");
    const size = { hooks: ["blocks.1.hook_resid_post"], n_sequences: 1, length };
    for (const [name, shape] of [
      ["model.layers.1.mlp.down_proj.weight", null],
      ["model.layers.0.self_attn.k_proj.weight", [24, 24]],
      ["model.layers.0.input_layernorm.weight", [24, 1]],
    ] as const) {
      const tensors = new Map(model.tensors);
      if (shape === null) tensors.delete(name);
      else tensors.set(name, { shape, data: new Float32Array(shape[0] * shape[1]) });
      const { source, read } = watched(weightsOf({ config: model.config, tensors }));
      const opening = openLanguageModel({ gpu, spec, weights: source, ...size });
      await expect(opening).rejects.toThrow(ModelWeightsError);
      await expect(opening).rejects.toThrow(name);
      expect(read.size).toBe(0);
    }
    expect(weights.names.size).toBeGreaterThan(0);
  });

  test("sizes and hook points that the model has not are refused", async () => {
    const { spec, weights } = variant("gpt2");
    const open = (size: Partial<{ hooks: string[]; n_sequences: number; length: number }>) =>
      openLanguageModel({ gpu, spec, weights, hooks: ["hook_embed"], n_sequences: 1, length: 1, ...size });
    for (const bad of [0, -1, 1.5, Number.NaN, spec.n_ctx + 1]) {
      await expect(open({ length: bad })).rejects.toThrow(RangeError);
    }
    for (const bad of [0, -1, 1.5, Number.NaN, 2 ** 31]) {
      await expect(open({ n_sequences: bad })).rejects.toThrow(RangeError);
    }
    await expect(open({ hooks: ["blocks.2.hook_resid_pre"] })).rejects.toThrow(UnknownHookError);
    await expect(open({ hooks: ["blocks.1.hook_resid_pos"] })).rejects.toThrow(
      /no hook point "blocks\.1\.hook_resid_pos".*hook_resid_post/,
    );
  });
});
