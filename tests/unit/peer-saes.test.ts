import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { normals } from "../../gpu/data/random.ts";
import { encode, reconstruct } from "../../gpu/sae/inference.ts";
import { detectFormat, readSae, writeSae } from "../../server/formats/formats.ts";
import { SaeExportError } from "../../server/formats/sae-format-error.ts";
import { npz } from "../reference/npz-writer.ts";
import { largestDifference, randomRows, randomSae } from "../reference/random-sae.ts";
import { safetensorsOf } from "../reference/safetensors-writer.ts";
import { type TorchTensor, torchFile, torchParts } from "../reference/torch-writer.ts";
import { zip } from "../reference/zip-writer.ts";

/*
 * SAEs as their makers' programs write them, beside what those programs compute, worked out here from the weights as
 * they stand in the file.
 */

let home: string;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-peers-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const d = 5;
const n = 9;
const rows = 25;
let series = 0;

interface Weights {
  shape: number[];
  values: number[];
}

/** Normal float32 numbers. */
function weights(shape: number[], scale = 0.8): Weights {
  const length = shape.reduce((a, b) => a * b, 1);
  return { shape, values: Array.from(normals(length, 3, series++), (v) => Math.fround(scale * v)) };
}

const at = ({ shape, values }: Weights, row: number, column: number) => values[row * shape[1]! + column]!;
const relu = (z: number[]) => z.map((v) => Math.max(v, 0));
const minus = (x: number[], b: Weights) => x.map((v, i) => v - b.values[i]!);
const plus = (x: number[], b: Weights) => x.map((v, i) => v + b.values[i]!);
/** nn.Linear's product, weight [out, in]. */
const linear = (W: Weights, x: number[]) =>
  Array.from({ length: W.shape[0]! }, (_, o) => x.reduce((sum, v, i) => sum + at(W, o, i) * v, 0));
/** x @ W, W [in, out]. */
const times = (x: number[], W: Weights) =>
  Array.from({ length: W.shape[1]! }, (_, o) => x.reduce((sum, v, i) => sum + v * at(W, i, o), 0));
const largest = (z: number[], k: number) => {
  const kept = z.map((_, i) => i).sort((i, j) => z[j]! - z[i]!);
  return z.map((v, i) => (kept.indexOf(i) < k ? v : 0));
};

type Peer = (x: number[]) => { f: number[]; y: number[] };

async function sameAs(target: string, peer: Peer, width = d): Promise<Awaited<ReturnType<typeof readSae>>> {
  const read = await readSae(target);
  const x = randomRows(rows, width);
  const wanted = Array.from({ length: rows }, (_, row) =>
    peer([...x.subarray(row * width, (row + 1) * width)]),
  );
  const f = wanted.flatMap((one) => one.f);
  expect(largestDifference(encode(read.sae, x), f)).toBeLessThan(1e-12);
  expect(
    largestDifference(
      reconstruct(read.sae, x),
      wanted.flatMap((one) => one.y),
    ),
  ).toBeLessThan(1e-12);
  expect(f.some((v) => v > 0) && f.some((v) => v === 0)).toBe(true);
  return read;
}

const scalar = (value: number, type: NonNullable<TorchTensor["type"]> = "float32"): TorchTensor => ({
  shape: [],
  values: [value],
  type,
});

async function trainer(
  state: Parameters<typeof torchFile>[0],
  config?: Record<string, unknown>,
): Promise<string> {
  const folder = path.join(home, "trainer_0");
  await mkdir(folder);
  await writeFile(path.join(folder, "ae.pt"), torchFile(state));
  if (config) {
    const settings = {
      trainer: { lm_name: "EleutherAI/pythia-70m-deduped", submodule_name: "resid_post_layer_3", ...config },
      buffer: { ctx_len: 128, io: "out" },
    };
    await writeFile(path.join(folder, "config.json"), JSON.stringify(settings));
  }
  return folder;
}

describe("dictionary_learning", () => {
  const E = weights([n, d]);
  const D = weights([d, n]);
  const b = weights([n]);
  const c = weights([d]);
  const linears = { "encoder.weight": E, "encoder.bias": b, "decoder.weight": D };

  it("AutoEncoder", async () => {
    const folder = await trainer({ bias: c, ...linears }, { dict_class: "AutoEncoder" });
    expect(await detectFormat(folder)).toBe("dictionary_learning");
    const { sae, notes, architecture } = await sameAs(folder, (x) => {
      const f = relu(plus(linear(E, minus(x, c)), b));
      return { f, y: plus(linear(D, f), c) };
    });
    expect(architecture).toBe("AutoEncoder");
    expect(notes).toEqual([]);
    expect(sae.config).toMatchObject({
      activation: "relu",
      apply_b_dec_to_input: true,
      metadata: {
        model_name: "EleutherAI/pythia-70m-deduped",
        hook_name: "blocks.3.hook_resid_post",
        context_size: 128,
        training_architecture: "standard",
        extra: { dictionary_learning: { trainer: { dict_class: "AutoEncoder" } } },
      },
    });
  });

  it("AutoEncoderNew", async () => {
    const folder = await trainer({ ...linears, "decoder.bias": c }, { dict_class: "AutoEncoderNew" });
    await sameAs(folder, (x) => {
      const f = relu(plus(linear(E, x), b));
      return { f, y: plus(linear(D, f), c) };
    });
  });

  it("AutoEncoderTopK", async () => {
    const state = { ...linears, b_dec: c, k: scalar(3, "int32"), threshold: scalar(-1) };
    const { sae } = await sameAs(await trainer(state, { dict_class: "AutoEncoderTopK" }), (x) => {
      const f = largest(relu(plus(linear(E, minus(x, c)), b)), 3);
      return { f, y: plus(linear(D, f), c) };
    });
    expect(sae.config).toMatchObject({ activation: "topk", k: 3 });
  });

  it("BatchTopKSAE, with the threshold that it estimated", async () => {
    const threshold = Math.fround(0.9);
    const state = { ...linears, b_dec: c, k: scalar(3, "int64"), threshold: scalar(threshold) };
    const { sae } = await sameAs(await trainer(state, { dict_class: "BatchTopKSAE" }), (x) => {
      const f = relu(plus(linear(E, minus(x, c)), b)).map((v) => (v > threshold ? v : 0));
      return { f, y: plus(linear(D, f), c) };
    });
    expect(sae.config).toMatchObject({
      activation: "jumprelu",
      k: null,
      metadata: { training_architecture: "batchtopk" },
    });
  });

  it("BatchTopKSAE, without one: every positive pre-activation fires there, and here with a note", async () => {
    const state = { ...linears, b_dec: c, k: scalar(3, "int32"), threshold: scalar(-1) };
    const { notes } = await sameAs(await trainer(state, { dict_class: "BatchTopKSAE" }), (x) => {
      const f = relu(plus(linear(E, minus(x, c)), b));
      return { f, y: plus(linear(D, f), c) };
    });
    expect(notes.join()).toMatch(/threshold is -1, so it was never estimated/);
  });

  const W_enc = weights([d, n]);
  const W_dec = weights([n, d]);

  it("MatryoshkaBatchTopKSAE", async () => {
    const threshold = Math.fround(0.7);
    const state = {
      W_enc,
      b_enc: b,
      W_dec,
      b_dec: c,
      k: scalar(3, "int32"),
      threshold: scalar(threshold),
      group_sizes: { shape: [3], values: [2, 3, 4], type: "int64" as const },
    };
    const { sae } = await sameAs(await trainer(state, { dict_class: "MatryoshkaBatchTopKSAE" }), (x) => {
      const f = relu(plus(times(minus(x, c), W_enc), b)).map((v) => (v > threshold ? v : 0));
      return { f, y: plus(times(f, W_dec), c) };
    });
    expect(sae.config.metadata).toMatchObject({
      training_architecture: "matryoshka_batchtopk",
      extra: { training_architecture_details: { matryoshka_widths: [2, 5, 9] } },
    });
  });

  it("JumpReluAutoEncoder", async () => {
    const threshold = { ...weights([n]) };
    threshold.values = threshold.values.map(Math.abs);
    const state = { W_enc, b_enc: b, W_dec, b_dec: c, threshold };
    await sameAs(await trainer(state, { dict_class: "JumpReluAutoEncoder" }), (x) => {
      const z = plus(times(x, W_enc), b);
      const f = relu(z.map((v, i) => (v > threshold.values[i]! ? v : 0)));
      return { f, y: plus(times(f, W_dec), c) };
    });
  });

  it("GatedAutoEncoder", async () => {
    const r_mag = weights([n], 0.4);
    const gate_bias = weights([n]);
    const mag_bias = weights([n]);
    const state = {
      decoder_bias: c,
      r_mag,
      gate_bias,
      mag_bias,
      "encoder.weight": E,
      "decoder.weight": D,
    };
    await sameAs(await trainer(state, { dict_class: "GatedAutoEncoder" }), (x) => {
      const projected = linear(E, minus(x, c));
      const gate = plus(projected, gate_bias);
      const magnitude = relu(
        plus(
          projected.map((v, i) => v * Math.exp(r_mag.values[i]!)),
          mag_bias,
        ),
      );
      const f = magnitude.map((v, i) => (gate[i]! > 0 ? v : 0));
      return { f, y: plus(linear(D, f), c) };
    });
  });

  it("matrices that torch keeps transposed, offset in their storage, or in bfloat16", async () => {
    // encoder.weight = w.T: the storage of a [d, n] matrix, read with its strides swapped.
    const turned = weights([d, n]);
    const E2 = {
      shape: [n, d],
      values: Array.from({ length: n * d }, (_, i) => at(turned, i % d, Math.floor(i / d))),
    };
    const brain = weights([n]).values.map((v) => Math.trunc(v * 16) / 16);
    const state = {
      bias: { shape: [d], values: [9, 9, 9, ...c.values, 9], offset: 3 },
      "encoder.weight": { shape: [n, d], values: turned.values, stride: [1, n] },
      "encoder.bias": { shape: [n], values: brain, type: "bfloat16" as const },
      "decoder.weight": { shape: D.shape, values: D.values, type: "float64" as const },
    };
    await sameAs(await trainer(state, { dict_class: "AutoEncoder" }), (x) => {
      const f = relu(plus(linear(E2, minus(x, c)), { shape: [n], values: brain }));
      return { f, y: plus(linear(D, f), c) };
    });
  });

  it("is told by its tensors where there is no config.json, if they tell", async () => {
    const folder = await trainer({ bias: c, ...linears });
    const { architecture, notes } = await readSae(path.join(folder, "ae.pt"));
    expect(architecture).toBe("AutoEncoder");
    expect(notes.join()).toMatch(/by its tensors it was taken for AutoEncoder/);
    const either = { ...linears, b_dec: c, k: scalar(3, "int32"), threshold: scalar(0.9) };
    await writeFile(path.join(folder, "ae.pt"), torchFile(either));
    await expect(readSae(folder)).rejects.toThrow(/AutoEncoderTopK or a BatchTopKSAE.*config\.json/);
  });
});

describe("sparsify", () => {
  const E = weights([n, d]);
  const W_dec = weights([n, d]);
  const b = weights([n]);
  const c = weights([d]);
  const W_skip = weights([d, d]);
  const state = { "encoder.weight": E, "encoder.bias": b, W_dec, b_dec: c };
  const hookpoint = async (name: string, tensors: Record<string, Weights>, cfg: Record<string, unknown>) => {
    const folder = path.join(home, name);
    await mkdir(folder);
    await writeFile(path.join(folder, "sae.safetensors"), safetensorsOf(tensors));
    await writeFile(
      path.join(folder, "cfg.json"),
      JSON.stringify({ activation: "topk", expansion_factor: 2, num_latents: n, k: 3, d_in: d, ...cfg }),
    );
    return folder;
  };

  it("an SAE", async () => {
    const folder = await hookpoint("layers.3", state, {});
    expect(await detectFormat(folder)).toBe("sparsify");
    const { sae } = await sameAs(folder, (x) => {
      const f = largest(relu(plus(linear(E, minus(x, c)), b)), 3);
      return { f, y: plus(times(f, W_dec), c) };
    });
    expect(sae.config.metadata.hook_name).toBe("blocks.3.hook_resid_post");
  });

  it("a skip transcoder", async () => {
    const folder = await hookpoint(
      "layers.3.mlp",
      { ...state, W_skip },
      { transcode: true, skip_connection: true },
    );
    const { sae } = await sameAs(folder, (x) => {
      const f = largest(relu(plus(linear(E, x), b)), 3);
      return { f, y: plus(plus(times(f, W_dec), c), { shape: [d], values: linear(W_skip, x) }) };
    });
    expect(sae.config).toMatchObject({
      transcoder: true,
      skip: true,
      metadata: { hook_name: "blocks.3.hook_mlp_in", hook_name_out: "blocks.3.hook_mlp_out" },
    });
  });

  it.each([
    ["an SAE", {}],
    ["a skip transcoder", { transcoder: true, skip: true, apply_b_dec_to_input: false }],
  ])("%s is written and read back bit for bit", async (_, given) => {
    const sae = randomSae({ activation: "topk", ...given });
    await writeSae(path.join(home, "layers.7"), sae, "sparsify");
    const read = await readSae(path.join(home, "layers.7"));
    expect(read.format).toBe("sparsify");
    expect(read.sae.tensors).toEqual(sae.tensors);
    expect({ ...read.sae.config, metadata: sae.config.metadata }).toEqual(sae.config);
    // What sparsify's own loader looks up.
    const cfg = JSON.parse(await readFile(path.join(home, "layers.7", "cfg.json"), "utf8"));
    expect(cfg).toMatchObject({ k: 3, num_latents: 11, d_in: 6, activation: "topk" });
  });

  it.each([
    ["ReLU", {}, /TopK SAEs only/],
    ["a crosscoder", { activation: "topk", n_hook_points: 2, apply_b_dec_to_input: false }, /no crosscoders/],
    ["selection by the decoder's norm", { activation: "topk", rescale_acts_by_decoder_norm: true }, /norms/],
    ["a layer norm", { activation: "topk", normalize_activations: "layer_norm" }, /per token/],
    [
      "an SAE without b_dec at its input",
      { activation: "topk", apply_b_dec_to_input: false },
      /subtract b_dec/,
    ],
    [
      "a transcoder of two widths",
      { activation: "topk", transcoder: true, apply_b_dec_to_input: false, d_out: 4 },
      /equal widths/,
    ],
  ] as const)("does not write %s", async (_, given, why) => {
    const writing = writeSae(path.join(home, "out"), randomSae(given), "sparsify");
    await expect(writing).rejects.toThrow(SaeExportError);
    await expect(writing).rejects.toThrow(why);
  });
});

describe("Gemma Scope", () => {
  const W_enc = weights([d, n]);
  const W_dec = weights([n, d]);
  const b = weights([n]);
  const c = weights([d]);
  const threshold = { shape: [n], values: weights([n]).values.map((v) => Math.fround(Math.abs(v))) };
  const peer: Peer = (x) => {
    const z = plus(times(x, W_enc), b);
    const f = relu(z).map((v, i) => (z[i]! > threshold.values[i]! ? v : 0));
    return { f, y: plus(times(f, W_dec), c) };
  };

  it.each([
    ["stored", false],
    ["deflated", true],
  ])("1, params.npz, %s", async (_, deflate) => {
    const folder = path.join(home, "layer_20", "width_16k", "average_l0_71");
    await mkdir(folder, { recursive: true });
    const params = { W_enc, W_dec, b_enc: b, b_dec: c, threshold };
    await writeFile(path.join(folder, "params.npz"), npz(params, deflate));
    expect(await detectFormat(folder)).toBe("gemma_scope");
    const { sae } = await sameAs(folder, peer);
    expect(sae.config).toMatchObject({
      activation: "jumprelu",
      apply_b_dec_to_input: false,
      metadata: { extra: { gemma_scope: "layer_20/width_16k/average_l0_71" } },
    });
  });

  const state = { w_enc: W_enc, w_dec: W_dec, b_enc: b, b_dec: c, threshold };
  const published = {
    hf_hook_point_in: "model.layers.22.output",
    hf_hook_point_out: "model.layers.22.output",
    architecture: "jump_relu",
    width: n,
    model_name: "google/gemma-3-1b-pt",
    l0: 60,
    affine_connection: false,
    type: "sae",
  };
  const folderOf = async (tensors: Record<string, Weights>, config: Record<string, unknown> | null) => {
    const folder = path.join(home, "layer_22");
    await mkdir(folder);
    await writeFile(path.join(folder, "params.safetensors"), safetensorsOf(tensors));
    if (config) await writeFile(path.join(folder, "config.json"), JSON.stringify(config));
    return folder;
  };

  it("2, an SAE", async () => {
    const folder = await folderOf(state, published);
    expect(await detectFormat(folder)).toBe("gemma_scope_2");
    const { sae } = await sameAs(folder, peer);
    expect(sae.config).toMatchObject({
      transcoder: false,
      metadata: {
        model_name: "google/gemma-3-1b-pt",
        hook_name: "blocks.22.hook_resid_post",
        hook_name_out: null,
      },
    });
  });

  it("2, an affine transcoder: the connection is multiplied from the right", async () => {
    const affine_skip_connection = weights([d, d]);
    const folder = await folderOf({ ...state, affine_skip_connection }, null);
    const { sae } = await sameAs(folder, (x) => {
      const { f, y } = peer(x);
      return { f, y: plus(y, { shape: [d], values: times(x, affine_skip_connection) }) };
    });
    expect(sae.config).toMatchObject({ transcoder: true, skip: true });
  });

  it("2, a transcoder without one is told by its hook points", async () => {
    const hook = "model.layers.5.post_feedforward_layernorm.output";
    const folder = await folderOf(state, { ...published, hf_hook_point_out: hook, type: null });
    const { sae } = await sameAs(folder, peer);
    expect(sae.config).toMatchObject({ transcoder: true, skip: false, metadata: { hook_name_out: hook } });
  });

  it("2, a layer of a crosscoder is refused in words", async () => {
    const folder = await folderOf({ ...state, w_dec: weights([n, 2, d]) }, null);
    await expect(readSae(folder)).rejects.toThrow(/one layer of a crosscoder/);
  });
});

describe("OpenAI", () => {
  const E = weights([n, d]);
  const D = weights([d, n]);
  const pre_bias = weights([d], 0.3);
  const latent_bias = weights([n], 0.3);
  const state = {
    pre_bias,
    latent_bias,
    stats_last_nonzero: {
      shape: [n],
      values: Array.from({ length: n }, (_, i) => i),
      type: "int64" as const,
    },
    "encoder.weight": E,
    "decoder.weight": D,
  };
  const file = async (given: Parameters<typeof torchFile>[0]) => {
    await writeFile(path.join(home, "6.pt"), torchFile(given));
    return path.join(home, "6.pt");
  };

  it("ReLU, v1 and v4", async () => {
    const target = await file({ ...state, activation: "ReLU", activation_state_dict: {} });
    expect(await detectFormat(target)).toBe("openai");
    await sameAs(target, (x) => {
      const f = relu(plus(linear(E, minus(x, pre_bias)), latent_bias));
      return { f, y: plus(linear(D, f), pre_bias) };
    });
  });

  it("TopK, v5: within a layer norm that is undone", async () => {
    const target = await file({
      ...state,
      activation: "TopK",
      activation_state_dict: { k: 3, postact_fn: "ReLU" },
    });
    const { sae } = await sameAs(target, (x) => {
      const mu = x.reduce((sum, v) => sum + v, 0) / d;
      const std = Math.sqrt(x.reduce((sum, v) => sum + (v - mu) ** 2, 0) / (d - 1));
      const normal = x.map((v) => (v - mu) / (std + 1e-5));
      const f = relu(largest(plus(linear(E, minus(normal, pre_bias)), latent_bias), 3));
      return { f, y: plus(linear(D, f), pre_bias).map((v) => v * std + mu) };
    });
    expect(sae.config).toMatchObject({ activation: "topk", k: 3, normalize_activations: "layer_norm" });
  });

  it.each([
    ["Identity", { activation: "Identity" }, /activation the text "Identity"/],
    [
      "TopK without ReLU",
      { activation: "TopK", activation_state_dict: { k: 3, postact_fn: "Identity" } },
      /does not say a k followed by ReLU/,
    ],
  ])("%s is refused in words", async (_, given, why) => {
    await expect(readSae(await file({ ...state, ...given }))).rejects.toThrow(why);
  });
});

describe("zip archives as torch and numpy write them", () => {
  const c = weights([d]);
  const state = {
    bias: c,
    "encoder.weight": weights([n, d]),
    "encoder.bias": weights([n]),
    "decoder.weight": weights([d, n]),
  };

  it("deflated, or with the folder named otherwise", async () => {
    const parts = torchParts(state, "archive").map((part) => ({ ...part, deflate: true }));
    await writeFile(path.join(home, "ae.pt"), zip(parts));
    expect((await readSae(home)).sae.tensors.b_dec?.data).toEqual(Float32Array.from(c.values));
  });
});
