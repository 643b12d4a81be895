import { describe, expect, test } from "vitest";
import { type Config, type HuggingFaceModel, numberOf, type Tensor } from "../reference/lm/hugging-face.ts";
import { randomModel, randomTokens } from "../reference/lm/random-model.ts";
import { forward } from "../reference/lm/transformer.ts";
import { type Variant, variantLength, variants } from "../reference/lm/variants.ts";
import { largestDifference } from "../reference/random-sae.ts";

/** What one family computes, another does too when its weights are laid out anew; and what must not matter does not. */

const all = variants();
const variant = (name: string): Variant => all.find((candidate) => candidate.name === name)!;

const run = (model: HuggingFaceModel) =>
  forward(model, [
    randomTokens(model.config, variantLength, 8),
    randomTokens(model.config, variantLength, 9),
  ]);
const hook = (model: HuggingFaceModel, name: string) => run(model).hooks.get(name)!.data;
const logitsOf = (model: HuggingFaceModel) => run(model).logits.data;
const difference = (a: HuggingFaceModel, b: HuggingFaceModel) => largestDifference(logitsOf(a), logitsOf(b));

/** A model with some settings and tensors exchanged. */
const changed = (
  { config, tensors }: HuggingFaceModel,
  settings: Config,
  exchanged: Iterable<readonly [string, Tensor]> = [],
): HuggingFaceModel => ({
  config: { ...config, ...settings },
  tensors: new Map([...tensors, ...exchanged]),
});

/** Every tensor whose name ends so, its elements mapped. */
const mapped = ({ tensors }: HuggingFaceModel, end: string, map: (value: number) => number) =>
  [...tensors]
    .filter(([name]) => name.endsWith(end))
    .map(([name, { shape, data }]) => [name, { shape, data: Float64Array.from(data, map) }] as const);

const zeros = (...shape: number[]): Tensor => ({
  shape,
  data: new Float64Array(shape.reduce((product, extent) => product * extent, 1)),
});

/** Tensors one above the other, along their first dimension. */
const stacked = (...parts: readonly Tensor[]): Tensor => ({
  shape: [parts.reduce((sum, { shape }) => sum + shape[0]!, 0), ...parts[0]!.shape.slice(1)],
  data: Float64Array.from(parts.flatMap(({ data }) => [...data])),
});

const transposed = ({ shape, data }: Tensor): Tensor => {
  const [rows, columns] = shape as [number, number];
  const at = (i: number) => data[(i % rows) * columns + Math.floor(i / rows)]!;
  return { shape: [columns, rows], data: Float64Array.from({ length: data.length }, (_, i) => at(i)) };
};

/** Queries, keys and values one above the other, [3 heads d_head, …], to GPT-NeoX's [heads, 3, d_head, …]. */
const interleaved = ({ shape, data }: Tensor, heads: number): Tensor => {
  const d_head = shape[0]! / (3 * heads);
  const width = shape[1] ?? 1;
  const rows = Array.from({ length: shape[0]! }, (_, row) => {
    const [head, part, e] = [Math.floor(row / (3 * d_head)), Math.floor(row / d_head) % 3, row % d_head];
    const from = (part * heads + head) * d_head + e;
    return [...data.slice(from * width, (from + 1) * width)];
  });
  return { shape, data: Float64Array.from(rows.flat()) };
};

/** A model of another family: the tensors of one under the names of the other, where `rename` gives one. */
function renamed(
  { tensors }: HuggingFaceModel,
  config: Config,
  rename: readonly (readonly [RegExp, string])[],
  more: Iterable<readonly [string, Tensor]>,
): HuggingFaceModel {
  const kept = [...tensors].map(([name, tensor]) => {
    const renamedTo = rename.reduce((given, [from, to]) => given.replace(from, to), name);
    return [renamedTo, tensor] as const;
  });
  return { config, tensors: new Map([...kept, ...more]) };
}

describe("one family as another", () => {
  test("GPT-2 without positions is GPT-NeoX without rotation, transposed and interleaved", () => {
    const of = variant("gpt2 untied, unscaled scores");
    const gpt2 = changed(of, { scale_attn_weights: true }, [["transformer.wpe.weight", zeros(24, 18)]]);
    const config = {
      ...variant("gpt_neox sequential, d_head 10").config,
      hidden_act: "gelu_new",
      hidden_size: 18,
      intermediate_size: 72,
      rotary_pct: 0,
    };
    const relaid = [...gpt2.tensors].map(([name, tensor]) => {
      const conv1d = tensor.shape.length === 2 && /\.c_\w+\.weight$/.test(name);
      const linear = conv1d ? transposed(tensor) : tensor;
      return [name, name.includes("c_attn") ? interleaved(linear, 3) : linear] as const;
    });
    const neox = renamed(
      { config, tensors: new Map(relaid) },
      config,
      [
        [/^transformer\.wte/, "gpt_neox.embed_in"],
        [/^transformer\.ln_f/, "gpt_neox.final_layer_norm"],
        [/^lm_head/, "embed_out"],
        [/^transformer\.h/, "gpt_neox.layers"],
        [/ln_1/, "input_layernorm"],
        [/ln_2/, "post_attention_layernorm"],
        [/attn\.c_attn/, "attention.query_key_value"],
        [/attn\.c_proj/, "attention.dense"],
        [/mlp\.c_fc/, "mlp.dense_h_to_4h"],
        [/mlp\.c_proj/, "mlp.dense_4h_to_h"],
      ],
      [],
    );
    expect(difference(gpt2, neox)).toBeLessThan(1e-13);
  });

  test("Phi-2 without a bias of the logits is GPT-NeoX with the same norm twice", () => {
    const phi = changed(variant("phi"), {}, [["lm_head.bias", zeros(37)]]);
    const { tensors } = phi;
    const more = [0, 1].flatMap((i) => {
      const [from, to] = [`model.layers.${i}`, `gpt_neox.layers.${i}`];
      return ["weight", "bias"].flatMap((kind) => {
        const projections = ["q", "k", "v"].map(
          (part) => tensors.get(`${from}.self_attn.${part}_proj.${kind}`)!,
        );
        return [
          [`${to}.attention.query_key_value.${kind}`, interleaved(stacked(...projections), 3)] as const,
          [
            `${to}.post_attention_layernorm.${kind}`,
            tensors.get(`${from}.input_layernorm.${kind}`)!,
          ] as const,
        ];
      });
    });
    const config = {
      ...phi.config,
      model_type: "gpt_neox",
      rotary_pct: 0.4,
      partial_rotary_factor: undefined,
      rotary_emb_base: 10_000,
      use_parallel_residual: true,
    };
    const neox = renamed(
      phi,
      config,
      [
        [/^model\.embed_tokens/, "gpt_neox.embed_in"],
        [/^model\.final_layernorm/, "gpt_neox.final_layer_norm"],
        [/^lm_head/, "embed_out"],
        [/^model/, "gpt_neox"],
        [/self_attn/, "attention"],
        [/fc1/, "dense_h_to_4h"],
        [/fc2/, "dense_4h_to_h"],
      ],
      more,
    );
    expect(difference(phi, neox)).toBeLessThan(1e-13);
    for (const name of ["ln1", "ln2"]) {
      expect(hook(phi, `blocks.1.${name}.hook_normalized`)).toEqual(
        hook(neox, `blocks.1.${name}.hook_normalized`),
      );
    }
  });

  test("Llama is Phi-3 fused, Mistral with a long window, and Qwen 2 without biases", () => {
    const llama = variant("llama, 3 heads on 1");
    const { tensors } = llama;
    const fused = [0, 1].flatMap((i) => {
      const part = (name: string) => tensors.get(`model.layers.${i}.${name}_proj.weight`)!;
      const qkv = stacked(part("self_attn.q"), part("self_attn.k"), part("self_attn.v"));
      return [
        [`model.layers.${i}.self_attn.qkv_proj.weight`, qkv] as const,
        [`model.layers.${i}.mlp.gate_up_proj.weight`, stacked(part("mlp.gate"), part("mlp.up"))] as const,
      ];
    });
    const biases = [0, 1].flatMap((i) =>
      [["q", 18] as const, ["k", 6] as const, ["v", 6] as const].map(
        ([part, width]) => [`model.layers.${i}.self_attn.${part}_proj.bias`, zeros(width)] as const,
      ),
    );
    expect(difference(llama, changed(llama, { model_type: "phi3", sliding_window: null }, fused))).toBe(0);
    expect(difference(llama, changed(llama, { model_type: "qwen2" }, biases))).toBe(0);
    const mistral = (sliding_window: number) => changed(llama, { model_type: "mistral", sliding_window });
    expect(difference(llama, mistral(variantLength))).toBe(0);
    expect(difference(llama, mistral(variantLength - 1))).toBeGreaterThan(1e-4);
  });
});

describe("embeddings", () => {
  test.each([
    ["gpt2", "transformer.wte.weight", "lm_head.weight"],
    ["qwen2, tied", "model.embed_tokens.weight", "lm_head.weight"],
    ["gemma2", "model.embed_tokens.weight", "lm_head.weight"],
    ["gpt_neox parallel", "gpt_neox.embed_in.weight", "embed_out.weight"],
    ["phi", "model.embed_tokens.weight", "lm_head.weight"],
  ])("%s tied is the same untied, with the matrix copied", (name, embedding, head) => {
    const model = variant(name);
    const copied: [string, Tensor] = [head, model.tensors.get(embedding)!];
    const untied = changed(model, { tie_word_embeddings: false }, [copied]);
    expect(difference(changed(model, { tie_word_embeddings: true }), untied)).toBe(0);
    const other = randomModel({ ...model.config, tie_word_embeddings: false }, 77).tensors.get(head)!;
    expect(difference(untied, changed(untied, {}, [[head, other]]))).toBeGreaterThan(0.1);
  });

  test("Gemma's are scaled by √d_model, GPT-2's stand without the positions", () => {
    const tokens = (model: HuggingFaceModel) => randomTokens(model.config, variantLength, 8);
    const row = (model: HuggingFaceModel, name: string, token: number) => {
      const { shape, data } = model.tensors.get(name)!;
      return data.slice(token * shape[1]!, (token + 1) * shape[1]!);
    };
    const [gemma, gpt2] = [variant("gemma2"), variant("gpt2")];
    const stored = row(gemma, "model.embed_tokens.weight", tokens(gemma)[0]!);
    expect(
      largestDifference(
        hook(gemma, "hook_embed").slice(0, 18),
        stored.map((value) => value * Math.sqrt(18)),
      ),
    ).toBeLessThan(1e-6);
    const { hooks } = run(gpt2);
    const place = 4 * 18;
    expect(hooks.get("hook_embed")!.data.slice(place, place + 18)).toEqual(
      Float64Array.from(row(gpt2, "transformer.wte.weight", tokens(gpt2)[4]!)),
    );
    expect(hooks.get("hook_pos_embed")!.data.slice(place, place + 18)).toEqual(
      Float64Array.from(row(gpt2, "transformer.wpe.weight", 4)),
    );
    const sum = hooks
      .get("hook_embed")!
      .data.map((value, i) => value + hooks.get("hook_pos_embed")!.data[i]!);
    expect(hooks.get("blocks.0.hook_resid_pre")!.data).toEqual(sum);
  });
});

describe("Gemma", () => {
  test("2: logits are capped, scores are scaled by query_pre_attn_scalar", () => {
    const gemma = variant("gemma2");
    const free = logitsOf(changed(gemma, { final_logit_softcapping: null }));
    expect(Math.max(...free)).toBeGreaterThan(2.5);
    expect(
      largestDifference(
        logitsOf(gemma),
        free.map((x) => 2.5 * Math.tanh(x / 2.5)),
      ),
    ).toBeLessThan(1e-14);
    const doubled = changed(
      gemma,
      { query_pre_attn_scalar: 4 * 7 },
      mapped(gemma, "q_proj.weight", (x) => 2 * x),
    );
    expect(difference(gemma, doubled)).toBeLessThan(1e-13);
    const uncapped = changed(gemma, { attn_logit_softcapping: null });
    expect(difference(gemma, uncapped)).toBeGreaterThan(1e-3);
  });

  test("2: attention and MLP are normalised before they are added", () => {
    const gemma = variant("gemma2");
    for (const [name, weight] of [
      ["hook_attn_out", "post_attention_layernorm"],
      ["hook_mlp_out", "post_feedforward_layernorm"],
    ] as const) {
      const factors = gemma.tensors.get(`model.layers.3.${weight}.weight`)!.data;
      const raw = hook(gemma, `blocks.3.${name}`).map((value, i) => value / (1 + factors[i % 18]!));
      for (let at = 0; at < raw.length; at += 18) {
        const square = raw.subarray(at, at + 18).reduce((sum, value) => sum + value * value, 0) / 18;
        expect(square).toBeCloseTo(1, 3);
      }
    }
  });

  test("2: even layers slide; 3: all but every sixth", () => {
    const limited = (name: string, layers: number) => {
      const { hooks } = run(variant(name));
      // The last position's attention to the first.
      const reads = (i: number) =>
        hooks.get(`blocks.${i}.attn.hook_pattern`)!.data[(variantLength - 1) * variantLength]!;
      return Array.from({ length: layers }, (_, i) => reads(i) === 0);
    };
    expect(limited("gemma2", 4)).toEqual([true, false, true, false]);
    expect(limited("gemma3_text, pattern of 6", 7)).toEqual([true, true, true, true, true, false, true]);
    expect(limited("gemma3_text, layer_types and rope_parameters", 4)).toEqual([false, true, true, false]);
  });

  test("3: sliding and global layers have rotary bases of their own, and only global ones are scaled", () => {
    const gemma = variant("gemma3_text, pattern of 6");
    const differs = (settings: Config) => {
      const [before, after] = [run(gemma), run(changed(gemma, settings))];
      const attended = (i: number) => `blocks.${i}.hook_attn_out`;
      const moved = Array.from({ length: 7 }, (_, i) =>
        largestDifference(before.hooks.get(attended(i))!.data, after.hooks.get(attended(i))!.data),
      );
      return moved.findIndex((change) => change > 0);
    };
    expect(differs({ rope_local_base_freq: 60 })).toBe(0);
    expect(differs({ rope_theta: 60 })).toBe(5);
    expect(differs({ rope_scaling: null })).toBe(5);
  });

  test("3: rope_parameters say the same as the older keys", () => {
    const gemma = variant("gemma3_text, pattern of 6");
    const rope_parameters = {
      sliding_attention: { rope_type: "default", rope_theta: 100 },
      full_attention: { rope_type: "linear", factor: 4, rope_theta: 1000 },
    };
    const newer = { rope_parameters, rope_scaling: null, rope_theta: null, rope_local_base_freq: null };
    expect(difference(gemma, changed(gemma, newer))).toBe(0);
  });
});

test("Qwen 3 normalises every head's queries and keys, whatever their size", () => {
  const qwen = variant("qwen3, rope_parameters");
  const larger = changed(qwen, {}, [
    ...mapped(qwen, "q_proj.weight", (x) => 3 * x),
    ...mapped(qwen, "k_proj.weight", (x) => 5 * x),
  ]);
  expect(difference(qwen, larger)).toBeLessThan(1e-4);
  const values = changed(
    qwen,
    {},
    mapped(qwen, "v_proj.weight", (x) => 3 * x),
  );
  expect(difference(qwen, values)).toBeGreaterThan(0.1);
});

test("rope_parameters of one kind say the same as rope_theta, rope_scaling and the share that turns", () => {
  const phi = variant("phi");
  const parameters = { rope_type: "default", rope_theta: 10_000, partial_rotary_factor: 0.4 };
  expect(difference(phi, changed(phi, { rope_parameters: parameters, rope_theta: null }))).toBe(0);
  const llama = variant("llama 3.1, tied, biases");
  const rope_parameters = { ...(llama.config.rope_scaling as Config), rope_theta: 1000 };
  expect(difference(llama, changed(llama, { rope_parameters, rope_scaling: null, rope_theta: null }))).toBe(
    0,
  );
});

test("what enters W_out gives hook_mlp_out, and hook_z through W_O hook_attn_out", () => {
  const llama = variant("llama 3.1, tied, biases");
  const { hooks } = run(llama);
  for (const [from, to, name] of [
    ["mlp.hook_post", "hook_mlp_out", "mlp.down_proj"],
    ["attn.hook_z", "hook_attn_out", "self_attn.o_proj"],
  ] as const) {
    const [weight, bias] = ["weight", "bias"].map(
      (kind) => llama.tensors.get(`model.layers.1.${name}.${kind}`)!,
    ) as [Tensor, Tensor];
    const width = weight.shape[1]!;
    const x = hooks.get(`blocks.1.${from}`)!;
    expect(x.shape).toEqual([2, variantLength, width]);
    const place = 30;
    const expected = Array.from({ length: numberOf(llama.config, "hidden_size") }, (_, o) =>
      x.data
        .slice(place * width, (place + 1) * width)
        .reduce((sum, value, i) => sum + value * weight.data[o * width + i]!, bias.data[o]!),
    );
    const got = hooks
      .get(`blocks.1.${to}`)!
      .data.slice(place * expected.length, (place + 1) * expected.length);
    expect(largestDifference(got, expected)).toBeLessThan(1e-14);
  }
});

test("what is missing, misshapen or unknown is refused", () => {
  const llama = variant("llama, 3 heads on 1");
  const without = new Map([...llama.tensors].filter(([name]) => name !== "model.norm.weight"));
  expect(() => run({ ...llama, tensors: without })).toThrow("There is no tensor model.norm.weight.");
  expect(() => run(changed(llama, { hidden_size: 24 }))).toThrow("has the shape");
  expect(() => run(changed(llama, { model_type: "mamba" }))).toThrow("does not know the family mamba");
  expect(() => run(changed(llama, { hidden_act: "quick_gelu" }))).toThrow("activation function quick_gelu");
  expect(() => run(changed(llama, { rope_scaling: { rope_type: "yarn" } }))).toThrow("rotary scaling yarn");
});
