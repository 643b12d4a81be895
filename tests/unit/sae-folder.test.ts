import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { encode, reconstruct } from "../../gpu/sae/inference.ts";
import type { Sae, SaeConfig } from "../../gpu/sae/sae.ts";
import { readSae, writeSae } from "../../server/formats/formats.ts";
import { readSaeFolder, writeSaeFolder } from "../../server/formats/sae-folder.ts";
import { SaeExportError, SaeFormatError } from "../../server/formats/sae-format-error.ts";
import { largestDifference, randomRows, randomSae } from "../reference/random-sae.ts";
import { loadFromDisk } from "../reference/saelens-reader.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-sae-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const bits = ({ tensors }: Sae) =>
  Object.entries(tensors).map(([name, { shape, data }]) => [
    name,
    shape,
    Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex"),
  ]);

const transcoder = { transcoder: true, apply_b_dec_to_input: false, d_out: 4 };
/** SAEs that SAELens can express, by its name of their class. */
const expressible: Record<string, [string, Partial<SaeConfig>]> = {
  standard: ["standard", {}],
  "standard without b_dec at the input": ["standard", { apply_b_dec_to_input: false }],
  "standard with a norm per token": ["standard", { normalize_activations: "constant_norm_rescale" }],
  topk: ["topk", { activation: "topk" }],
  "topk by the decoder's norm": ["topk", { activation: "topk", rescale_acts_by_decoder_norm: true }],
  "topk with a layer norm": ["topk", { activation: "topk", normalize_activations: "layer_norm" }],
  jumprelu: ["jumprelu", { activation: "jumprelu" }],
  gated: ["gated", { activation: "gated" }],
  transcoder: ["transcoder", transcoder],
  skip_transcoder: ["skip_transcoder", { ...transcoder, skip: true }],
  jumprelu_transcoder: ["jumprelu_transcoder", { ...transcoder, activation: "jumprelu" }],
  jumprelu_skip_transcoder: [
    "jumprelu_skip_transcoder",
    { ...transcoder, activation: "jumprelu", skip: true },
  ],
};
/** SAEs that it cannot, with the reason. */
const inexpressible: Record<string, [Partial<SaeConfig>, RegExp]> = {
  "a crosscoder": [{ n_hook_points: 2, apply_b_dec_to_input: false }, /no crosscoders/],
  "a topk transcoder": [
    { ...transcoder, activation: "topk" },
    /transcoders of ReLU and JumpReLU, but not of TopK/,
  ],
  "a gated skip transcoder": [{ ...transcoder, activation: "gated", skip: true }, /not of Gated/],
  "a skip connection beside b_dec": [{ skip: true }, /only in transcoders/],
  "a transcoder with a layer norm": [
    { ...transcoder, normalize_activations: "layer_norm" },
    /output in the normalised/,
  ],
};

const metadata: SaeConfig["metadata"] = {
  model_name: "gpt2",
  hook_name: "blocks.2.hook_resid_post",
  hook_name_out: null,
  dataset_name: "monology/pile",
  context_size: 1_024,
  prepend_bos: true,
  training_architecture: "matryoshka_batchtopk",
  extra: { training_architecture_details: { matryoshka_widths: [4, 11] }, neuronpedia_id: "gpt2/2" },
};

describe("SAELens' layout", () => {
  it.each(Object.keys(expressible))("%s: an independent reader finds the same function", async (name) => {
    const [architecture, given] = expressible[name]!;
    const sae = randomSae(given);
    const written = await writeSaeFolder(path.join(home, "sae"), sae);
    expect(written.format).toBe("saelens");
    const peer = loadFromDisk(path.join(home, "sae"));
    expect(peer.cfg.architecture).toBe(architecture);
    const n = 30;
    const x = randomRows(n, 6);
    const batch = Array.from({ length: n }, (_, row) => [...x.subarray(6 * row, 6 * row + 6)]);
    const { features, output } = peer.forward(batch);
    expect(largestDifference(encode(sae, x), features.flat())).toBeLessThan(1e-12);
    expect(largestDifference(reconstruct(sae, x), output.flat())).toBeLessThan(1e-12);
    expect(features.flat().some((f) => f > 0)).toBe(true);
  });

  it.each(Object.keys(expressible))("%s: read back bit for bit, with its configuration", async (name) => {
    const sae = randomSae({ ...expressible[name]![1], metadata });
    // Numbers whose bits are easily lost.
    sae.tensors.b_dec!.data.set([-0, 1e-42, 3.4028234e38]);
    const sparsity = randomRows(1, 11);
    const runner_cfg = { trained_by: "facet", nested: { list: [1, null, "two"] } };
    await writeSae(path.join(home, "sae"), sae, "saelens", { sparsity, runner_cfg });
    const read = await readSae(path.join(home, "sae"));
    expect(read.format).toBe("saelens");
    expect(read.sae.config).toEqual(sae.config);
    expect(bits(read.sae)).toEqual(bits(sae));
    expect(read.sparsity).toEqual(sparsity);
    expect(read.runner_cfg).toEqual(runner_cfg);
    expect(read.notes).toEqual([]);
  });

  it("holds SAELens' files and keys, and nothing that changes from time to time", async () => {
    const sae = randomSae({ activation: "topk", metadata });
    const frequency = Float32Array.from({ length: 11 }, (_, i) => i / 10);
    const extras = { feature_frequency: frequency, runner_cfg: { trained_by: "facet" } };
    const first = await writeSaeFolder(path.join(home, "1"), sae, extras);
    const second = await writeSaeFolder(path.join(home, "2"), sae, extras);
    expect(second.files).toEqual(first.files);
    expect(second.sha256).toBe(first.sha256);
    expect((await readdir(path.join(home, "1"))).sort()).toEqual([
      "cfg.json",
      "runner_cfg.json",
      "sae_weights.safetensors",
      "sparsity.safetensors",
    ]);
    expect(JSON.parse(await readFile(path.join(home, "1", "cfg.json"), "utf8"))).toEqual({
      architecture: "topk",
      d_in: 6,
      d_sae: 11,
      dtype: "float32",
      device: "cpu",
      apply_b_dec_to_input: true,
      normalize_activations: "none",
      reshape_activations: "none",
      k: 3,
      rescale_acts_by_decoder_norm: false,
      metadata: {
        sae_lens_training_version: null,
        hook_head_index: null,
        exclude_special_tokens: null,
        seqpos_slice: null,
        model_class_name: null,
        model_from_pretrained_kwargs: null,
        neuronpedia_id: "gpt2/2",
        training_architecture_details: { matryoshka_widths: [4, 11] },
        sae_lens_version: "6.38.0",
        model_name: "gpt2",
        hook_name: "blocks.2.hook_resid_post",
        hook_name_out: null,
        context_size: 1_024,
        prepend_bos: true,
        dataset_path: "monology/pile",
        training_architecture: "matryoshka_batchtopk",
      },
    });
    const { sparsity } = await readSaeFolder(path.join(home, "1"));
    expect([...(sparsity ?? [])]).toEqual(
      [...frequency].map((p) => expect.closeTo(Math.log10(p + 1e-10), 5)),
    );
  });

  it("goes without sparsity and provenance", async () => {
    await writeSaeFolder(path.join(home, "sae"), randomSae());
    expect(await readdir(path.join(home, "sae"))).toHaveLength(2);
    expect(await readSaeFolder(path.join(home, "sae"))).toMatchObject({ sparsity: null, runner_cfg: null });
  });

  it("keeps how SAELens reshapes activations, and drops settings it drops", async () => {
    const folder = path.join(home, "sae");
    await writeSaeFolder(folder, randomSae());
    await change(folder, (cfg) => {
      cfg.reshape_activations = "hook_z";
      cfg.some_future_setting = 1;
      delete cfg.device;
    });
    const { sae } = await readSaeFolder(folder);
    expect(sae.config.metadata.extra).toEqual({ reshape_activations: "hook_z" });
    await writeSaeFolder(path.join(home, "again"), sae);
    expect(loadFromDisk(path.join(home, "again")).cfg).toMatchObject({ reshape_activations: "hook_z" });
  });

  it("takes the defaults of SAELens for keys that are missing", async () => {
    const folder = path.join(home, "sae");
    await writeSaeFolder(folder, randomSae());
    await change(folder, (cfg) => {
      for (const key of ["apply_b_dec_to_input", "normalize_activations", "reshape_activations"])
        delete cfg[key];
    });
    expect((await readSaeFolder(folder)).sae.config).toEqual(randomSae().config);
  });

  it("says so when the weights expect scaled activations", async () => {
    const folder = path.join(home, "sae");
    await writeSaeFolder(folder, randomSae());
    await change(folder, (cfg) => {
      cfg.normalize_activations = "expected_average_only_in";
    });
    const { notes, sae } = await readSaeFolder(folder);
    expect(sae.config.normalize_activations).toBe("none");
    expect(notes.join()).toMatch(/scaled to a mean norm of √d_in/);
  });
});

async function change(folder: string, edit: (cfg: Record<string, unknown>) => void): Promise<void> {
  const file = path.join(folder, "cfg.json");
  const cfg = JSON.parse(await readFile(file, "utf8"));
  edit(cfg);
  await writeFile(file, JSON.stringify(cfg));
}

describe("Facet's own layout", () => {
  it.each(Object.keys(inexpressible))("%s is kept in it, bit for bit", async (name) => {
    const sae = randomSae({ ...inexpressible[name]![0], metadata });
    const folder = path.join(home, "sae");
    expect((await writeSaeFolder(folder, sae)).format).toBe("facet");
    const read = await readSae(folder);
    expect(read.format).toBe("facet");
    expect(read.sae.config).toEqual(sae.config);
    expect(bits(read.sae)).toEqual(bits(sae));
  });

  it.each([...Object.keys(expressible), ...Object.keys(inexpressible)])(
    "%s in it is nothing that SAELens takes for its own",
    async (name) => {
      const given = expressible[name]?.[1] ?? inexpressible[name]![0];
      const folder = path.join(home, "sae");
      await writeSae(folder, randomSae(given), "facet");
      const { architecture, metadata: none } = JSON.parse(
        await readFile(path.join(folder, "cfg.json"), "utf8"),
      );
      expect(Object.values(expressible).map(([known]) => known)).not.toContain(architecture);
      expect(none).toBeUndefined();
      expect((await readSae(folder)).sae).toEqual(randomSae(given));
    },
  );
});

describe("what is not written", () => {
  it.each(Object.keys(inexpressible))("%s for SAELens", async (name) => {
    const [given, why] = inexpressible[name]!;
    const writing = writeSae(path.join(home, "sae"), randomSae(given), "saelens");
    await expect(writing).rejects.toThrow(SaeExportError);
    await expect(writing).rejects.toThrow(why);
    expect(await readdir(home)).toEqual([]);
  });

  it("weights that are not finite, and frequencies of other features", async () => {
    const sae = randomSae();
    sae.tensors.W_dec!.data[3] = Number.POSITIVE_INFINITY;
    const writing = writeSaeFolder(path.join(home, "sae"), sae);
    await expect(writing).rejects.toThrow(SaeExportError);
    await expect(writing).rejects.toThrow(
      /W_dec is not finite: it holds Infinity at element 3.*earlier checkpoint/,
    );
    const frequency = new Float32Array(10);
    const other = writeSaeFolder(path.join(home, "sae"), randomSae(), { feature_frequency: frequency });
    await expect(other).rejects.toThrow(SaeExportError);
    expect(await readdir(home)).toEqual([]);
  });
});

describe("the reader is as strict as SAELens' loader", () => {
  const spoil: Record<string, [(cfg: Record<string, unknown>) => void, RegExp]> = {
    "no dtype": [(cfg) => delete cfg.dtype, /dtype must be /],
    "an unknown architecture": [
      (cfg) => (cfg.architecture = "temporal"),
      /architecture "temporal"; standard, /,
    ],
    "a version before 6": [
      (cfg) => ((cfg.metadata as Record<string, unknown>).sae_lens_version = "5.0.0"),
      /6\.0\.0 or later/,
    ],
    "another d_sae": [(cfg) => (cfg.d_sae = 12), /W_enc is F32 \[6, 11\] instead of \[6, 12\]/],
    "another architecture's tensors": [(cfg) => (cfg.architecture = "jumprelu"), /no tensor threshold/],
    "a transcoder with b_dec at its input": [
      (cfg) => (cfg.architecture = "transcoder"),
      /belongs to its target/,
    ],
    "a normalisation that it has not": [
      (cfg) => (cfg.normalize_activations = "covariance_whitening"),
      /normalize_activations must be /,
    ],
  };
  it.each(Object.keys(spoil))("%s", async (name) => {
    const [edit, message] = spoil[name]!;
    const folder = path.join(home, "sae");
    await writeSaeFolder(folder, randomSae());
    await readSaeFolder(folder);
    await change(folder, (cfg) => void edit(cfg));
    await expect(readSaeFolder(folder)).rejects.toThrow(SaeFormatError);
    await expect(readSaeFolder(folder)).rejects.toThrow(message);
  });

  it("a tensor too many", async () => {
    const folder = path.join(home, "sae");
    await writeSaeFolder(folder, randomSae({ activation: "jumprelu" }));
    await change(folder, (cfg) => (cfg.architecture = "standard"));
    await expect(readSaeFolder(folder)).rejects.toThrow("unexpected tensors: threshold");
  });
});
