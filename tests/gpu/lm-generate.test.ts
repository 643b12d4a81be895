import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { describeModel } from "../../gpu/lm/families/index.ts";
import { generate } from "../../gpu/lm/generate.ts";
import { type LanguageModel, openLanguageModel, plannedBytes } from "../../gpu/lm/language-model.ts";
import type { Precision } from "../../gpu/lm/precision.ts";
import { likeliest } from "../../gpu/lm/sampling.ts";
import { randomModel, randomTokens } from "../reference/lm/random-model.ts";
import { shakespeareFolder, shakespeareMissing } from "../reference/lm/shakespeare.ts";
import { forward } from "../reference/lm/transformer.ts";
import { variantLength, variants } from "../reference/lm/variants.ts";
import { facet } from "./facet-command.ts";
import { asHardware, withCapabilities } from "./kernel-bench.ts";
import { openShakespeare, relativeError, shakespeareLength, weightsOf } from "./lm-models.ts";
import { writeModelFolder } from "./model-folders.ts";

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

describe("facet model generate", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "facet-generate-"));
    await writeModelFolder(folder, named("gpt2"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const run = (...options: string[]) => facet("model", "generate", "--model", folder, ...options);
  const idsOf = ({ out }: { out: string }) => (JSON.parse(out) as { ids: number[] }).ids;

  test("goes on with token ids, greedily or by seed", async () => {
    const model = named("gpt2");
    const expected = await using(model, {}, (lm) =>
      generate({ model: lm, prompt: [3, 1, 4], max_new_tokens: 6, temperature: 0 }),
    );
    const greedy = ["--tokens", "3, 1,4", "--max-new-tokens", "6", "--temperature", "0"];
    const said = await run(...greedy);
    expect(said.code, said.err).toBe(0);
    expect(said.out).toBe(expected.ids.join(","));
    expect(said.err).toMatch(/^6 tokens, .* tokens\/s on /);
    expect(idsOf(await run(...greedy, "--precision", "int8", "--json"))).toHaveLength(6);
    const drawn = async (seed: string) =>
      idsOf(await run("--tokens", "3", "--seed", seed, "--top-k", "20", "--top-p", "0.9", "--json"));
    const five = await drawn("5");
    // All that the model has room for.
    expect(five).toHaveLength(23);
    expect(await drawn("5")).toEqual(five);
    expect(await drawn("6")).not.toEqual(five);
  });

  test("ends where the model's configuration says a text ends", async () => {
    const model = named("gpt2");
    const whole = idsOf(await run("--tokens", "3", "--temperature", "0", "--json"));
    const end = whole[2]!;
    const at = path.join(folder, "ends");
    await writeModelFolder(at, { ...model, config: { ...model.config, eos_token_id: [end, 36] } });
    const said = await facet(
      "model",
      "generate",
      "--model",
      at,
      "--tokens",
      "3",
      "--temperature",
      "0",
      "--json",
    );
    expect(JSON.parse(said.out)).toMatchObject({ ids: whole.slice(0, whole.indexOf(end)), ended: "stop" });
  });

  test("goes on with a text by the model's own tokenizer", async ({ skip }) => {
    if (shakespeareMissing !== null) skip(shakespeareMissing);
    const said = await facet(
      ...["model", "generate", "--model", shakespeareFolder, "--prompt", "ROMEO:\nO, "],
      ...["--max-new-tokens", "8", "--temperature", "0", "--json"],
    );
    expect(said.code, said.err).toBe(0);
    const { text, ids, prompt_ids } = JSON.parse(said.out) as {
      text: string;
      ids: number[];
      prompt_ids: number[];
    };
    expect(text.startsWith("ROMEO:\nO, ")).toBe(true);
    expect(text.length).toBeGreaterThan("ROMEO:\nO, ".length + 7);
    expect(ids).toHaveLength(8);
    expect(prompt_ids.length).toBeLessThan(9);
  });

  test.each([
    [["--tokens", "3,x"], /--tokens: .*x/],
    [["--tokens", "3", "--prompt", "a"], /--prompt: /],
    [[], /--prompt: /],
    [["--tokens", "37"], /--tokens: .*37.*0 to 36/],
    [["--tokens", "3", "--max-new-tokens", "24"], /--max-new-tokens: .*room for 23/],
    [["--tokens", Array.from({ length: 24 }, () => 1).join(",")], /--tokens: .*24/],
    [
      ["--tokens", "3", "--temperature", "x", "--top-p", "0", "--top-k", "x", "--seed", "1e10"],
      /--temperature: .*\n--top-k: .*\n--top-p: .*\n--seed: /,
    ],
    [["--tokens", "3", "--precision", "f8"], /--precision: .*f32, f16, int8/],
    [["--prompt", "a"], /tokenizer\.json/],
  ] as const)("what is wrong is named, %j", async (options, message) => {
    const { code, err, out } = await run(...options);
    expect(code).toBe(2);
    expect(err).toMatch(message);
    expect(out).toBe("");
  });

  test("a tokenizer.json that is damaged is refused", async () => {
    for (const text of ["{", "{}", `${"[".repeat(100)}`, '{"model": {"type": "Other"}}']) {
      await writeFile(path.join(folder, "tokenizer.json"), text);
      const { code, err } = await run("--prompt", "a");
      expect(code, text).toBe(2);
      expect(err).toContain("tokenizer.json");
    }
  });
});
