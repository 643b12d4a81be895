import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { reconstruct } from "../../gpu/sae/inference.ts";
import { exportSae, importSae } from "../../server/formats/convert.ts";
import { detectFormat, openSae, readSae, writeSae } from "../../server/formats/formats.ts";
import { inspectFolder } from "../../server/formats/inspect.ts";
import { SaeExportError, SaeFormatError } from "../../server/formats/sae-format-error.ts";
import { npz } from "../reference/npz-writer.ts";
import { largestDifference, randomRows, randomSae } from "../reference/random-sae.ts";
import { safetensorsOf } from "../reference/safetensors-writer.ts";
import { torchFile } from "../reference/torch-writer.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-convert-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const at = (...parts: string[]) => path.join(home, ...parts);
const listOf = (data: ArrayLike<number>) => Array.from(data);

/** A JumpReLU SAE as Gemma Scope publishes it. */
async function gemmaScope(): Promise<ReturnType<typeof randomSae>> {
  const sae = randomSae({ activation: "jumprelu", apply_b_dec_to_input: false });
  await mkdir(at("published"));
  const arrays = Object.entries(sae.tensors).map(([name, { shape, data }]) => [
    name,
    { shape, values: listOf(data) },
  ]);
  await writeFile(at("published", "params.npz"), npz(Object.fromEntries(arrays)));
  return sae;
}

describe("importing", () => {
  it("makes a folder in SAELens' layout that is the same SAE, and says where it came from", async () => {
    const sae = await gemmaScope();
    const { from, to, notes, written } = await importSae(at("published"), at("saes", "imported"));
    expect([from, to]).toEqual(["gemma_scope", "saelens"]);
    expect(written.files.map(({ name }) => name)).toEqual([
      "cfg.json",
      "sae_weights.safetensors",
      "runner_cfg.json",
    ]);
    const read = await readSae(at("saes", "imported"));
    expect(read.sae.tensors).toEqual(sae.tensors);
    expect(read.runner_cfg).toEqual({
      imported_by: "facet",
      format: "gemma_scope",
      architecture: "jumprelu",
      source: "published",
      notes: [...notes],
    });
    expect(notes.join()).toMatch(/does not name its model/);
  });

  it("keeps what SAELens cannot express in Facet's layout", async () => {
    await writeSae(
      at("layers.3.mlp"),
      randomSae({ activation: "topk", transcoder: true, apply_b_dec_to_input: false }),
      "sparsify",
    );
    const { to } = await importSae(at("layers.3.mlp"), at("imported"));
    expect(to).toBe("facet");
    const x = randomRows(10, 6);
    const [source, copy] = [await readSae(at("layers.3.mlp")), await readSae(at("imported"))];
    expect(largestDifference(reconstruct(copy.sae, x), reconstruct(source.sae, x))).toBe(0);
    expect(copy.sae.config).toEqual(source.sae.config);
  });

  it("keeps sparsity and provenance of a folder that has them, and tells of provenance that is damaged", async () => {
    const sparsity = randomRows(1, 11);
    await writeSae(at("a"), randomSae(), "saelens", { sparsity, runner_cfg: { trained_by: "someone" } });
    await importSae(at("a"), at("b"));
    expect(await readSae(at("b"))).toMatchObject({ sparsity, runner_cfg: { trained_by: "someone" } });
    await writeFile(at("b", "runner_cfg.json"), '{"lr": NaN}');
    const { notes } = await importSae(at("b"), at("c"));
    expect(notes.join()).toMatch(/How it was trained is not known.*NaN and Infinity are not JSON/);
  });
});

describe("exporting", () => {
  it.each([
    ["saelens", "saelens"],
    ["facet", "saelens"],
    ["saelens", "facet"],
    ["sparsify", "saelens"],
    ["saelens", "sparsify"],
  ] as const)("from %s for %s, there and back to the same bytes", async (there, back) => {
    const sae = randomSae({ activation: "topk" });
    await writeSae(at("first"), sae, there);
    const { from, to } = await exportSae(at("first"), at("second"), back);
    expect([from, to]).toEqual([there, back]);
    await exportSae(at("second"), at("third"), there);
    expect((await readSae(at("third"))).sae.tensors).toEqual(sae.tensors);
    expect(await detectFormat(at("third"))).toBe(there);
  });

  it("refuses what the layout cannot express, and leaves nothing", async () => {
    await writeSae(at("first"), randomSae({ activation: "gated" }), "saelens");
    await expect(exportSae(at("first"), at("out", "sae"), "sparsify")).rejects.toThrow(SaeExportError);
    expect(await readdir(home)).toEqual(["first"]);
    const wrong = exportSae(at("first"), at("out"), "dictionary_learning" as "saelens");
    await expect(wrong).rejects.toThrow(
      /written for saelens, facet, sparsify, not for "dictionary_learning"/,
    );
  });

  it("takes the place of nothing that is there, but of an empty folder", async () => {
    await gemmaScope();
    await mkdir(at("mine"));
    await writeFile(at("mine", "thesis.tex"), "ten years");
    for (const taken of [at("mine"), at("mine", "thesis.tex"), at("published")]) {
      await expect(importSae(at("published"), taken)).rejects.toThrow(
        /is there already, and would be replaced/,
      );
    }
    expect(await readFile(at("mine", "thesis.tex"), "utf8")).toBe("ten years");
    await mkdir(at("empty"));
    await importSae(at("published"), at("empty"));
    expect(await detectFormat(at("empty"))).toBe("saelens");
  });
});

describe("finding an SAE", () => {
  it("by its folder, or by any of its files", async () => {
    await writeSae(at("ours"), randomSae(), "saelens");
    await gemmaScope();
    for (const target of ["ours", "ours/cfg.json", "ours/sae_weights.safetensors"]) {
      expect(await detectFormat(at(target))).toBe("saelens");
    }
    expect(await detectFormat(at("published", "params.npz"))).toBe("gemma_scope");
  });

  it("not where there is none", async () => {
    await writeFile(at("notes.txt"), "hello");
    expect(await detectFormat(at("notes.txt"))).toBeNull();
    expect(await detectFormat(home)).toBeNull();
    await expect(openSae(home)).rejects.toThrow(/holds no SAE of a known layout.*Name the folder of one SAE/);
    await expect(readSae(at("nowhere"))).rejects.toThrow(SaeFormatError);
    await expect(readSae(at("nowhere"))).rejects.toThrow(/There is no file .*nowhere. Check the path/);
  });
});

/** JSON and back: what a command line or an API would show. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe("inspecting", () => {
  it("an SAE, without reading its weights", async () => {
    const sae = randomSae({ activation: "jumprelu" });
    sae.config.metadata.hook_name = "blocks.2.hook_resid_post";
    await writeSae(at("sae"), sae, "saelens");
    const found = await inspectFolder(at("sae"));
    expect(plain(found)).toEqual(found);
    expect(found).toEqual({
      kind: "sae",
      path: at("sae"),
      format: "saelens",
      architecture: "jumprelu",
      config: sae.config,
      parameters: 6 * 11 + 11 + 11 * 6 + 6 + 11,
      tensors: [
        { name: "W_enc", dtype: "F32", shape: [6, 11] },
        { name: "b_enc", dtype: "F32", shape: [11] },
        { name: "W_dec", dtype: "F32", shape: [11, 6] },
        { name: "b_dec", dtype: "F32", shape: [6] },
        { name: "threshold", dtype: "F32", shape: [11] },
      ],
      notes: [],
    });
  });

  it("a peer's SAE, with the names and types of its file", async () => {
    await mkdir(at("trainer_0"));
    const tensor = (shape: number[], type: "float32" | "float64" | "int32") => ({
      shape,
      type,
      values: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 1),
    });
    const state = {
      "encoder.weight": tensor([4, 3], "float32"),
      "encoder.bias": tensor([4], "float64"),
      "decoder.weight": tensor([3, 4], "float32"),
      b_dec: tensor([3], "float32"),
      k: tensor([], "int32"),
    };
    await writeFile(at("trainer_0", "ae.pt"), torchFile(state));
    expect(await inspectFolder(at("trainer_0"))).toMatchObject({
      kind: "sae",
      format: "dictionary_learning",
      architecture: "AutoEncoderTopK",
      config: { d_in: 3, d_sae: 4, k: 1 },
      parameters: 12 + 4 + 12 + 3,
      tensors: expect.arrayContaining([{ name: "encoder.bias", dtype: "F64", shape: [4] }]),
    });
  });

  it("a run, with its checkpoints and SAEs, and what of them is damaged", async () => {
    for (const step of [9, 10]) {
      await mkdir(at("run", "checkpoints", `step_${step}`), { recursive: true });
      await writeFile(
        at("run", "checkpoints", `step_${step}`, "manifest.json"),
        JSON.stringify({ format_version: 1, facet_version: "0.1.0", step, config: { k: 3 } }),
      );
      const tensors = { W_enc: { shape: [2, 3], values: [1, 2, 3, 4, 5, 6] } };
      await writeFile(at("run", "checkpoints", `step_${step}`, "state.safetensors"), safetensorsOf(tensors));
    }
    await writeFile(at("run", "checkpoints", "step_9", "manifest.json"), "{");
    await writeSae(at("run", "sae", "blocks.2"), randomSae(), "saelens");
    await mkdir(at("run", "sae", "blocks.3"));
    const run = await inspectFolder(at("run"));
    expect(plain(run)).toEqual(run);
    expect(run).toMatchObject({
      kind: "run",
      checkpoints: [
        { name: "step_9", step: null, fault: expect.stringMatching(/is not JSON/) },
        { name: "step_10", step: 10, fault: null },
      ],
      saes: [
        { name: "blocks.2", sae: { architecture: "standard" }, fault: null },
        { name: "blocks.3", sae: null, fault: expect.stringMatching(/holds no SAE/) },
      ],
    });
    expect(await inspectFolder(at("run", "checkpoints", "step_10"))).toMatchObject({
      kind: "checkpoint",
      step: 10,
      config: { k: 3 },
      tensors: [{ name: "W_enc", dtype: "F32", shape: [2, 3] }],
      elements: 6,
    });
  });

  it("activations: a set of ours, and a file of captured ones", async () => {
    await mkdir(at("set"));
    await writeFile(at("set", "activations.bin"), Buffer.alloc(24));
    await writeFile(at("set", "manifest.json"), JSON.stringify({ n_tokens: 3, d_in: 2 }));
    expect(await inspectFolder(at("set"))).toMatchObject({
      kind: "activation_set",
      manifest: { n_tokens: 3, d_in: 2 },
      bytes: 24,
    });
    await writeFile(
      at("acts.safetensors"),
      safetensorsOf({ activations: { shape: [2, 2], values: [1, 2, 3, 4] } }),
    );
    expect(await inspectFolder(at("acts.safetensors"))).toMatchObject({
      kind: "safetensors",
      tensors: [{ name: "activations", dtype: "F32", shape: [2, 2] }],
      elements: 4,
    });
  });
});
