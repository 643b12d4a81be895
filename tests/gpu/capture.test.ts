import { existsSync, statSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import packageJson from "../../package.json" with { type: "json" };
import { openSafetensorsFile } from "../../server/formats/safetensors-file.ts";
import { readFloat32 } from "../../server/formats/tensor-file.ts";
import type { Config, HuggingFaceModel } from "../reference/lm/hugging-face.ts";
import { randomModel, randomTokens } from "../reference/lm/random-model.ts";
import { forward } from "../reference/lm/transformer.ts";
import { facet, facetProcess } from "./facet-command.ts";
import { rounded, type WeightDtype, writeModelFolder, writeTokens } from "./model-folders.ts";

const gpt2Config: Config = {
  architectures: ["GPT2LMHeadModel"],
  model_type: "gpt2",
  activation_function: "gelu_new",
  layer_norm_epsilon: 1e-5,
  n_positions: 24,
  n_embd: 18,
  n_layer: 2,
  n_head: 3,
  vocab_size: 37,
};
const llamaConfig: Config = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_act: "silu",
  hidden_size: 24,
  intermediate_size: 29,
  max_position_embeddings: 64,
  num_attention_heads: 4,
  num_hidden_layers: 2,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-5,
  rope_theta: 500,
  tie_word_embeddings: false,
  vocab_size: 37,
};
const gpt2 = randomModel(gpt2Config, 1);
const llama = randomModel(llamaConfig, 2);
/** Five sequences of 11: batches of two leave a last one that is not full. */
const sequences = Array.from({ length: 5 }, (_, index) => randomTokens(gpt2Config, 11, 10 + index));
const hooks = ["blocks.1.hook_resid_post", "hook_embed", "blocks.0.mlp.hook_post", "blocks.1.attn.hook_z"];

let home: string;
let ids: string;
beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-capture-"));
  await writeModelFolder(at("gpt2"), gpt2);
  await writeModelFolder(at("llama"), llama);
  await mkdir(at("mamba"));
  await writeFile(at("mamba/config.json"), '{"model_type":"mamba"}');
  ids = await writeTokens(at("ids.safetensors"), sequences);
});
afterAll(() => rm(home, { recursive: true, force: true }));

const at = (name: string) => path.join(home, name);

/** Arguments of a capture with a folder and a file of the test's. */
const argv = (model: string, out: string, ...more: string[]) => [
  ...["capture", "--model", at(model), "--tokens", ids, "--hooks", hooks.join(","), "--out", at(out)],
  ...["--adapter", "software", ...more],
];

/** Tensors of a file by name, and its metadata. */
async function contents(file: string) {
  const opened = await openSafetensorsFile(file);
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const [name, tensor] of opened.tensors) {
    tensors.set(name, { shape: tensor.shape, data: await readFloat32(opened, tensor) });
  }
  await opened.close();
  return { tensors, metadata: Object.fromEntries(opened.metadata) };
}

/** |captured − reference| / |reference| of the worst token of any hook point, norms over a token's numbers. */
async function worstError(file: string, model: HuggingFaceModel, tokens = sequences): Promise<number> {
  const { tensors } = await contents(file);
  const wanted = forward(model, tokens).hooks;
  let worst = 0;
  for (const [name, { shape, data }] of tensors) {
    const reference = wanted.get(name)!;
    expect([name, ...shape]).toEqual([
      name,
      ...reference.shape.slice(0, 2),
      data.length / tokens.flat().length,
    ]);
    expect(data.length).toBe(reference.data.length);
    const width = shape[2]!;
    for (let token = 0; token < data.length; token += width) {
      let [difference, size] = [0, 0];
      for (let i = token; i < token + width; i++) {
        difference += (data[i]! - reference.data[i]!) ** 2;
        size += reference.data[i]! ** 2;
      }
      // A NaN fails every comparison, so it must not be lost in a maximum.
      const error = Math.sqrt(difference / size);
      if (!(error <= worst)) worst = error;
    }
  }
  return worst;
}

async function until(what: string, found: () => boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!found()) {
    if (Date.now() > deadline) throw new Error(`Waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe("captured activations", () => {
  it("are those of the float64 reference, whatever the batches", async () => {
    const batched = await facet(...argv("gpt2", "batched.safetensors", "--batch-size", "2", "--json"));
    expect(batched.code, batched.err).toBe(0);
    const summary: Record<string, unknown> = JSON.parse(batched.out);
    expect(summary).toMatchObject({
      out: at("batched.safetensors"),
      model: "gpt2",
      model_type: "gpt2",
      n_sequences: 5,
      length: 11,
      tokens: 55,
    });
    expect(await worstError(at("batched.safetensors"), gpt2)).toBeLessThan(1e-3);

    const { tensors, metadata } = await contents(at("batched.safetensors"));
    expect([...tensors.keys()].sort()).toEqual(hooks.toSorted());
    expect(tensors.get("blocks.0.mlp.hook_post")?.shape).toEqual([5, 11, 72]);
    expect(metadata).toEqual({
      model_name: "gpt2",
      model_type: "gpt2",
      hook_names: hooks.join(","),
      facet_version: packageJson.version,
    });
    expect(summary.bytes).toBe((await readFile(at("batched.safetensors"))).length);

    const together = await facet(...argv("gpt2", "together.safetensors"));
    expect(together.code, together.err).toBe(0);
    expect(together.out).toMatch(/^55 tokens in .* tokens\/s\.$/m);
    expect(together.out).toContain("blocks.0.mlp.hook_post [5, 11, 72]");
    expect(await worstError(at("together.safetensors"), gpt2)).toBeLessThan(1e-3);
  });

  it("are those of another family, from a folder of shards", async () => {
    await writeModelFolder(at("llama-sharded"), llama, { shards: 3 });
    const { code, err } = await facet(...argv("llama-sharded", "sharded.safetensors"));
    expect(code, err).toBe(0);
    expect(await worstError(at("sharded.safetensors"), llama)).toBeLessThan(1e-3);
    const whole = await facet(...argv("llama", "whole.safetensors"));
    expect(whole.code, whole.err).toBe(0);
    const [a, b] = [await contents(at("sharded.safetensors")), await contents(at("whole.safetensors"))];
    expect(a.tensors).toEqual(b.tensors);
  });

  // Widening is exact, so the reference with the stored weights is met as closely as ever; against the model before
  // it was stored, two layers of random weights may grow a unit roundoff fifty times.
  it.each<[WeightDtype, number]>([
    ["F16", 2 ** -11],
    ["BF16", 2 ** -8],
  ])("are those of weights stored in %s", async (dtype, roundoff) => {
    const name = `llama-${dtype}`;
    await writeModelFolder(at(name), llama, { dtype });
    const { code, err } = await facet(...argv(name, `${name}.safetensors`));
    expect(code, err).toBe(0);
    expect(await worstError(at(`${name}.safetensors`), rounded(llama, dtype))).toBeLessThan(1e-3);
    const loss = await worstError(at(`${name}.safetensors`), llama);
    expect(loss).toBeGreaterThan(roundoff / 10);
    expect(loss).toBeLessThan(50 * roundoff);
  });

  it("can be trained on, under the hook point's name", async () => {
    const { code, err } = await facet(
      ...["train", "--activations", at("batched.safetensors"), "--tensor", "blocks.1.hook_resid_post"],
      ...["--out", at("run"), "--d_sae", "24", "--k", "3", "--train_batch_size_tokens", "11"],
      ...["--training_tokens", "55", "--adapter", "software"],
    );
    expect(code, err).toBe(0);
    const { d_in } = JSON.parse(await readFile(at("run/config.json"), "utf8"));
    const { metadata } = JSON.parse(await readFile(at("run/run.json"), "utf8"));
    expect(d_in).toBe(18);
    expect(metadata).toMatchObject({ model_name: "gpt2", hook_name: "blocks.1.hook_resid_post" });
  });
});

describe("a capture that cannot be begun", () => {
  const filesNow = async () => (await readdir(home)).sort();

  /** Exit code 2, these words, and no file more than before. */
  async function wrong(words: RegExp, ...line: string[]): Promise<void> {
    const names = await filesNow();
    const { code, err } = await facet(...line);
    expect(err).toMatch(words);
    expect(code).toBe(2);
    expect(await filesNow()).toEqual(names);
  }

  it("has hook points that the model does not", async () => {
    const with_ = (names: string) =>
      argv("gpt2", "no.safetensors").map((one) => (one === hooks.join(",") ? names : one));
    await wrong(
      /--hooks: .*"blocks\.1\.hook_resid_pots".*Did you mean blocks\.1\.hook_resid_post\?/,
      ...with_("blocks.1.hook_resid_pots"),
    );
    await wrong(
      /"blocks\.7\.hook_mlp_out".*\n--hooks: .*"nonsense_of_mine"/,
      ...with_("blocks.7.hook_mlp_out,nonsense_of_mine"),
    );
    await wrong(/--hooks: hook_embed is named more than once/, ...with_("hook_embed,hook_embed"));
  });

  it("has ids that the model does not, too long sequences, or no file of ids", async () => {
    const with_ = (file: string) => argv("gpt2", "no.safetensors").map((one) => (one === ids ? file : one));
    const bad = sequences.map((one) => [...one]);
    bad[3]![4] = 37;
    await wrong(
      /sequence 3 has the id 37 at position 4 .*0 to 36/,
      ...with_(await writeTokens(at("bad"), bad)),
    );
    bad[3]![4] = -1;
    await wrong(/sequence 3 has the id -1 at position 4/, ...with_(await writeTokens(at("bad"), bad)));
    const long = [randomTokens(gpt2Config, 25, 1)];
    await wrong(
      /sequences of 25 tokens, but the model takes at most 24/,
      ...with_(await writeTokens(at("bad"), long)),
    );
    await wrong(/There is no file .*missing/, ...with_(at("missing")));
    await wrong(/no tensor input_ids/, ...with_(at("gpt2/model.safetensors")));
  });

  it("has no model, or one that cannot be run", async () => {
    await wrong(/There is no folder/, ...argv("none", "no.safetensors"));
    await wrong(/"mamba" cannot be run/, ...argv("mamba", "no.safetensors"));
    const tensors = new Map([...llama.tensors].filter(([name]) => !name.includes("layers.1.mlp.up_proj")));
    await writeModelFolder(at("partial"), { config: llamaConfig, tensors });
    const lacking = await facet(...argv("partial", "no.safetensors"));
    expect(lacking).toMatchObject({ code: 2, err: expect.stringContaining("layers.1.mlp.up_proj") });
    expect(existsSync(at("no.safetensors"))).toBe(false);
  });

  it("would write over something, or is not told what to do", async () => {
    await writeFile(at("there"), "mine");
    await wrong(/there is there already; name another --out/, ...argv("gpt2", "there"));
    expect(await readFile(at("there"), "utf8")).toBe("mine");
    await wrong(/^--model: [\s\S]*\n--tokens: [\s\S]*\n--hooks: [\s\S]*\n--out: /, "capture");
    await wrong(/--batch-size: .*not 0/, ...argv("gpt2", "no.safetensors", "--batch-size", "0"));
    await wrong(
      /no option --batchsize \(did you mean --batch-size\?\)/,
      ...argv("gpt2", "no.safetensors", "--batchsize", "2"),
    );
  });
});

describe("a capture that is cut short", () => {
  /** Enough single sequences to be interrupted on any machine. */
  const many = Array.from({ length: 20_000 }, (_, index) => sequences[index % 5]!);
  const line = (out: string) => [
    ...[
      "capture",
      "--model",
      at("gpt2"),
      "--tokens",
      at("many.safetensors"),
      "--hooks",
      "blocks.1.hook_resid_post",
    ],
    ...["--out", at(out), "--batch-size", "1", "--adapter", "software"],
  ];
  const bytesOf = (name: string) => statSync(at(name), { throwIfNoEntry: false })?.size ?? 0;
  beforeAll(() => writeTokens(at("many.safetensors"), many));

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("by %s leaves nothing", async (signal, code) => {
    await mkdir(at(signal));
    const running = facetProcess(...line(`${signal}/acts.safetensors`));
    await until("a hundred tokens", () => bytesOf(`${signal}/acts.safetensors.partial`) > 8_000);
    running.kill(signal);
    const ended = await running.ended;
    expect(ended).toMatchObject({ code, err: expect.stringContaining(`Stopped by ${signal}`) });
    expect(await readdir(at(signal))).toEqual([]);
  });

  it("by SIGKILL leaves no file under its name, and the next one takes its place", async () => {
    await mkdir(at("killed"));
    const running = facetProcess(...line("killed/acts.safetensors"));
    await until("a hundred tokens", () => bytesOf("killed/acts.safetensors.partial") > 8_000);
    running.kill("SIGKILL");
    await running.ended;
    expect(await readdir(at("killed"))).toEqual(["acts.safetensors.partial"]);
    expect(await facet(...argv("gpt2", "killed/acts.safetensors"))).toMatchObject({ code: 0 });
    expect(await readdir(at("killed"))).toEqual(["acts.safetensors"]);
    expect(await worstError(at("killed/acts.safetensors"), gpt2)).toBeLessThan(1e-3);
  });
});

describe("the help and the model's description", () => {
  it("names the commands", async () => {
    for (const words of [["capture", "--help"], ["help"], ["help", "capture"], ["model", "--help"]]) {
      const { code, out } = await facet(...words);
      expect(code).toBe(0);
      expect(out).toMatch(/^ {2}capture --model <folder>/m);
      expect(out).toMatch(/^ {2}model inspect <folder>/m);
    }
  });

  it("says what a model is, and where its hook points are", async () => {
    const { code, out, err } = await facet("model", "inspect", at("llama"));
    expect(code, err).toBe(0);
    const parameters = [...llama.tensors.values()].reduce((sum, { data }) => sum + data.length, 0);
    expect(out).toContain(`${parameters.toLocaleString("en")}, `);
    expect(out).toMatch(/^blocks\.1\.hook_resid_post +24$/m);
    expect(out).toMatch(/^blocks\.0\.mlp\.hook_post +29$/m);
    const json = await facet("model", "inspect", at("llama"), "--json");
    expect(JSON.parse(json.out)).toMatchObject({ name: "llama", parameters, bytes: 4 * parameters });
    const unknown = await facet("model", "inspect", at("mamba"));
    expect(unknown).toMatchObject({
      code: 2,
      err: expect.stringContaining("there is no family of that type"),
    });
  });
});
