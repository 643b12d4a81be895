import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { describeModel } from "../../gpu/lm/families/index.ts";
import { generate } from "../../gpu/lm/generate.ts";
import { type LanguageModel, openLanguageModel, plannedBytes } from "../../gpu/lm/language-model.ts";
import type { Precision } from "../../gpu/lm/precision.ts";
import { likeliest } from "../../gpu/lm/sampling.ts";
import { randomModel, randomTokens } from "../reference/lm/random-model.ts";
import { shakespeareMissing } from "../reference/lm/shakespeare.ts";
import { forward } from "../reference/lm/transformer.ts";
import { variantLength, variants } from "../reference/lm/variants.ts";
import { asHardware, withCapabilities } from "./kernel-bench.ts";
import { openShakespeare, relativeError, shakespeareLength, weightsOf } from "./lm-models.ts";

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
function named(name: string) {
  const model = all.find((one) => one.name === name);
  if (model === undefined) throw new Error(`There is no variant ${name}.`);
  return model;
}

type Opened = Parameters<typeof openLanguageModel>[0];
async function using<T>(
  model: (typeof all)[number],
  options: Partial<Pick<Opened, "gpu" | "length" | "precision">>,
  use: (lm: LanguageModel) => Promise<T>,
): Promise<T> {
  const lm = await openLanguageModel({
    ...{ gpu, spec: describeModel(model.config), weights: weightsOf(model) },
    ...{ hooks: [], n_sequences: 1, length: variantLength, logits: true, cached: true },
    ...options,
  });
  try {
    return await use(lm);
  } finally {
    lm.close();
  }
}

/** Logits of every position, where the sequence is taken up in parts of these lengths. */
async function inParts(lm: LanguageModel, ids: Uint32Array, parts: readonly number[]) {
  const rows = new Map<number, Float32Array>();
  let first = 0;
  for (const count of parts) {
    rows.set(first + count - 1, await lm.next(ids.subarray(first, first + count), first));
    first += count;
  }
  return rows;
}

describe.each(all)("$name", (model) => {
  test("a token at a time, after a prompt or after parts of it, gives the whole pass's logits", async () => {
    const tokens = randomTokens(model.config, variantLength, 3);
    const { data, shape } = forward(model, [tokens]).logits;
    const width = shape[2]!;
    const ids = Uint32Array.from(tokens);
    await using(model, {}, async (lm) => {
      for (const parts of [
        Array.from(tokens, () => 1),
        [9, ...Array.from({ length: variantLength - 9 }, () => 1)],
        [1, 7, 2, 9],
      ]) {
        for (const [position, logits] of await inParts(lm, ids, parts)) {
          const expected = data.subarray(position * width, (position + 1) * width);
          expect(relativeError(logits, expected), `${parts}: position ${position}`).toBeLessThan(tolerance);
        }
      }
    });
  });
});

describe.each([
  "gpt2",
  "gpt_neox parallel",
  "mistral, window 5",
  "gemma2",
  "gemma3_text, pattern of 6",
  "llama 3.1, tied, biases",
  "phi",
])("greedy, %s", (name) => {
  test("every token is the likeliest of a whole pass over all before it", async () => {
    const model = named(name);
    const prompt = randomTokens(model.config, 4, 11);
    const { ids, ended } = await using(model, {}, (lm) =>
      generate({ model: lm, prompt, max_new_tokens: variantLength - 4, temperature: 0 }),
    );
    expect(ended).toBe("length");
    expect(ids).toHaveLength(variantLength - 4);
    const { data, shape } = forward(model, [[...prompt, ...ids]]).logits;
    const width = shape[2]!;
    ids.forEach((id, i) => {
      const at = (prompt.length + i - 1) * width;
      expect(id, `token ${i}`).toBe(likeliest(Float32Array.from(data.subarray(at, at + width))));
    });
  });
});

test("the trained model goes on as its whole pass would, from a prompt of many tokens", async ({ skip }) => {
  if (shakespeareMissing !== null) skip(shakespeareMissing);
  const whole = await openShakespeare(gpu, [], 1);
  const cached = await openShakespeare(gpu, [], 1, true);
  const prompt = randomTokens({ vocab_size: 1024 }, 100, 5);
  const { ids } = await generate({ model: cached, prompt, max_new_tokens: 28, temperature: 0 });
  const logits = await whole.logits(Uint32Array.from([...prompt, ...ids]));
  const width = logits.length / shakespeareLength;
  ids.forEach((id, i) => {
    const at = (prompt.length + i - 1) * width;
    expect(id).toBe(likeliest(logits.subarray(at, at + width)));
  });
  whole.close();
  cached.close();
});

test.each(["gemma2", "gpt_neox sequential, d_head 10"])(
  "workgroups of hardware, without subgroups: %s",
  async (name) => {
    const model = named(name);
    const hardware = withCapabilities(asHardware(gpu), { subgroup_min_size: 0 });
    const tokens = randomTokens(model.config, variantLength, 8);
    const { data, shape } = forward(model, [tokens]).logits;
    await using(model, { gpu: hardware }, async (lm) => {
      const parts = [3, 1, 11, 1, 1, 2];
      for (const [position, logits] of await inParts(lm, Uint32Array.from(tokens), parts)) {
        const expected = data.subarray(position * shape[2]!, (position + 1) * shape[2]!);
        expect(relativeError(logits, expected)).toBeLessThan(tolerance);
      }
    });
  },
);

test("a prompt of more rows than one pass takes is taken up in several", async () => {
  const model = randomModel({ ...named("mistral, window 5").config, max_position_embeddings: 300 }, 4);
  const tokens = randomTokens(model.config, 290, 8);
  const { data, shape } = forward(model, [tokens]).logits;
  await using({ ...model, name: "long" }, { length: 300 }, async (lm) => {
    const logits = await lm.next(Uint32Array.from(tokens), 0);
    expect(relativeError(logits, data.subarray(-shape[2]!))).toBeLessThan(tolerance);
  });
});

describe("calls", () => {
  test("positions may be taken again, and what was never there is refused", async () => {
    const model = named("qwen2, tied");
    const ids = Uint32Array.from(randomTokens(model.config, 8, 2));
    const other = Uint32Array.from(randomTokens(model.config, 3, 99));
    await using(model, {}, async (lm) => {
      const whole = await lm.next(ids, 0);
      await lm.next(other, 5);
      expect(await lm.next(ids.subarray(5), 5)).toEqual(whole);
      await lm.next(ids.subarray(0, 2), 0);
      for (const first of [3, -1, 0.5]) await expect(lm.next(other, first)).rejects.toThrow(RangeError);
      await expect(lm.next(new Uint32Array(0), 0)).rejects.toThrow(RangeError);
      await expect(lm.next(new Uint32Array(variantLength + 1), 0)).rejects.toThrow(RangeError);
      await expect(lm.next(Uint32Array.of(10_000), 0)).rejects.toThrow(/Token 0/);
      await expect(lm.logits(new Uint32Array(variantLength))).rejects.toThrow(/opened to generate/);
    });
  });

  test("the same seed gives the same text, another one another, and a stop id ends it", async () => {
    const model = named("llama, 3 heads on 1");
    const prompt = randomTokens(model.config, 2, 1);
    await using(model, {}, async (lm) => {
      const text = async (seed: number, stop: number[] = []) => {
        const heard: number[] = [];
        const onToken = (id: number) => heard.push(id);
        const options = { model: lm, prompt, max_new_tokens: 12, temperature: 1.5, seed, stop, onToken };
        const made = await generate(options);
        expect(heard).toEqual(made.ids);
        return made;
      };
      const first = await text(7);
      expect(await text(7)).toEqual(first);
      expect((await text(8)).ids).not.toEqual(first.ids);
      const end = first.ids[5]!;
      const before = first.ids.slice(0, first.ids.indexOf(end));
      expect(await text(7, [end])).toEqual({ ids: before, ended: "stop" });
    });
  });

  test("a text is called off between tokens, and the model goes on with another", async () => {
    const model = named("gpt2");
    await using(model, {}, async (lm) => {
      const abort = new AbortController();
      let tokens = 0;
      const running = generate({
        ...{ model: lm, prompt: [1], max_new_tokens: 10, signal: abort.signal },
        onToken() {
          if (++tokens === 3) abort.abort(new Error("Enough."));
        },
      });
      await expect(generate({ model: lm, prompt: [1], max_new_tokens: 1 })).rejects.toThrow(/already/);
      await expect(running).rejects.toThrow("Enough.");
      expect(tokens).toBe(3);
      expect((await generate({ model: lm, prompt: [1], max_new_tokens: 1 })).ids).toHaveLength(1);
      const wrong = [
        { prompt: [] },
        { prompt: [-1] },
        { prompt: [1.5] },
        { prompt: [37] },
        { max_new_tokens: 0 },
        { max_new_tokens: variantLength },
        { seed: -1 },
        { seed: 2 ** 32 },
        { temperature: -1 },
        { top_k: 0 },
      ];
      for (const one of wrong) {
        const made = generate({ model: lm, prompt: [1], max_new_tokens: 1, ...one });
        await expect(made, JSON.stringify(one)).rejects.toThrow(RangeError);
      }
    });
  });

  test.each(["f32", "f16", "int8"] as const)("takes the bytes that were planned, %s", async (precision) => {
    const model = named("phi3, window 6");
    const own = await openGpu({ robust: true });
    const size = { hooks: [], n_sequences: 1, length: variantLength, logits: true, cached: true };
    const planned = plannedBytes(describeModel(model.config), own.capabilities, {
      ...size,
      precision: precision satisfies Precision,
    });
    await using(model, { gpu: own, precision }, (lm) =>
      generate({ model: lm, prompt: [1, 2], max_new_tokens: 3 }),
    );
    expect(own.ledger.peak).toBe(planned);
    own.close();
  });
});
