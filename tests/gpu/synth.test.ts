import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { syntheticGenerators } from "../../gpu/data/presets.ts";
import { readFloats, readSafetensorsHeader, readWords, tensorInfo } from "../../gpu/data/safetensors.ts";
import { SyntheticSource, syntheticConfigSchema } from "../../gpu/data/synthetic.ts";
import { readSae } from "../../server/formats/formats.ts";
import { syntheticBatch } from "../reference/synthetic.ts";
import { facet } from "./facet-command.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-synth-"));
});
afterAll(() => rm(home, { recursive: true, force: true }));

const at = (name: string) => path.join(home, name);
const synth = (...argv: string[]) => facet("synth", "--adapter", "software", ...argv);

async function openFile(file: string) {
  const bytes = new Uint8Array(await readFile(file));
  const source = {
    size: bytes.length,
    read: (offset: number, length: number) => Promise.resolve(bytes.subarray(offset, offset + length)),
  };
  const header = await readSafetensorsHeader(source);
  return {
    shape: (name: string) => tensorInfo(header, name).shape,
    floats: (name: string) => readFloats(source, tensorInfo(header, name)),
    words: (name: string) => readWords(source, tensorInfo(header, name)),
  };
}

describe("samples as files", () => {
  it("are the generator's first, with what they were made of and how", async () => {
    const out = at("acts.safetensors");
    const options = ["--n_features", "12", "--hierarchy_roots", "3", "--hierarchy_branching", "2"];
    const { code, err } = await synth(
      ...["--preset", "sample", "--d_in", "16", ...options, "--hierarchy_depth", "1", "--seed", "7"],
      ...["--tokens", "1500", "--out", out],
    );
    expect([code, err]).toEqual([0, ""]);
    const config = syntheticConfigSchema.parse(JSON.parse(await readFile(at("acts.config.json"), "utf8")));
    expect(config).toEqual({
      ...syntheticGenerators.sample,
      d_in: 16,
      n_features: 12,
      hierarchy_roots: 3,
      hierarchy_branching: 2,
      hierarchy_depth: 1,
      seed: 7,
    });

    const source = new SyntheticSource(config);
    const samples = await openFile(out);
    expect(samples.shape("activations")).toEqual([1_500, 16]);
    const x = await samples.floats("activations");
    const wanted = syntheticBatch(source, "training", 0, 1_500);
    expect(x.every((value, index) => Math.abs(value - wanted.x[index]!) < 5e-5)).toBe(true);

    const truth = await openFile(at("acts.truth.safetensors"));
    expect(truth.shape("dictionary")).toEqual([12, 16]);
    expect(await truth.floats("dictionary")).toEqual(source.dictionary);
    expect(await truth.floats("bias")).toEqual(source.truth.bias);
    expect(await truth.floats("firing_rate")).toEqual(Float32Array.from(source.truth.firing_rate));
    expect(await truth.words("parent")).toEqual(source.truth.parent);
    expect((await readdir(home)).sort()).toEqual([
      "acts.config.json",
      "acts.safetensors",
      "acts.truth.safetensors",
    ]);
    const again = await synth("--preset", "toy", "--tokens", "1", "--out", out);
    expect([again.code, again.err]).toEqual([2, `${out} is there already; name another --out.`]);
  });

  it("are activations that the other commands take", async () => {
    const { code, out } = await facet("inspect", at("acts.safetensors"));
    expect(code).toBe(0);
    expect(out).toContain("activations");
    expect(out).toContain("hook_name: synthetic");
  });
});

describe("training on fresh samples and scoring", () => {
  it("prints the scores, keeps the SAE, and scores the kept one alike", async () => {
    const recipe = [
      "--preset",
      "toy",
      "--architecture",
      "gated",
      "--training_tokens",
      "65536",
      "--seed",
      "3",
    ];
    const trained = await synth(...recipe, "--train", "--tokens", "2048", "--out", at("sae"), "--json");
    expect(trained.code).toBe(0);
    const scores: Record<string, unknown> = JSON.parse(trained.out);
    expect(scores).toMatchObject({
      preset: "toy",
      architecture: "gated",
      seed: 3,
      steps: 64,
      tokens: 2_048,
      n_features: 16,
    });
    expect(scores.mcc).toBeGreaterThan(0.2);
    expect(scores.true_l0).toBeGreaterThan(3.8);

    const { sae } = await readSae(at("sae"));
    expect(sae.config).toMatchObject({ activation: "gated", d_in: 32, d_sae: 16 });
    expect(sae.config.metadata).toMatchObject({ hook_name: "synthetic", dataset_name: "toy" });
    const again = await synth("--preset", "toy", "--score", at("sae"), "--tokens", "2048", "--json");
    const { mcc, f1, explained_variance, l0 } = scores;
    expect(JSON.parse(again.out)).toMatchObject({ preset: "toy", mcc, f1, explained_variance, l0 });
    const table = await synth("--preset", "toy", "--score", at("sae"), "--tokens", "2048");
    expect(table.out).toMatch(/^mcc {2,}0\.\d{4}$/m);
  });

  it("says everything that is wrong before it begins", async () => {
    expect((await synth("--tokens", "10")).err).toContain("--preset");
    expect((await synth("--preset", "toy")).err).toContain("--out");
    expect((await synth("--preset", "toy", "--train", "--score", "x")).err).toContain("--train or --score");
    const wrong = await synth("--preset", "toy", "--train", "--k", "64", "--n_featres", "4");
    expect(wrong.code).toBe(2);
    expect(wrong.err).toContain("did you mean n_features?");
    const crowded = await synth("--preset", "mini", "--n_features", "16", "--tokens", "1", "--out", at("no"));
    expect(crowded.code).toBe(2);
    expect(crowded.err).toContain("The hierarchy takes 672 features, but there are only 16.");
    const early = await synth("--preset", "toy", "--k", "3", "--tokens", "1", "--out", at("no"));
    expect(early.err).toContain("it needs --train");
    const transcoder = await synth("--preset", "toy", "--train", "--architecture", "transcoder");
    expect(transcoder.err).toContain("topk");
    const width = await synth("--preset", "mini", "--score", at("sae"));
    expect(width.code).toBe(2);
    expect(width.err).toContain("width 32");
  });
});
