import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { normals } from "../../gpu/data/random.ts";
import { safetensorsPieces } from "../../gpu/data/safetensors.ts";
import { trainingConfigOptions } from "../../gpu/sae/config.ts";
import { reconstruct } from "../../gpu/sae/inference.ts";
import type { StepMetrics } from "../../gpu/sae/trainer.ts";
import { readSae } from "../../server/formats/formats.ts";
import type { TrainingSummary } from "../../server/headless/training-summary.ts";
import { facet, facetProcess } from "./facet-command.ts";

const d_in = 8;
const n_tokens = 512;

let home: string;
let acts: string;
let targets: string;
beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-command-"));
  acts = await write("acts.safetensors", { activations: [n_tokens, d_in] }, 1);
  targets = await write("targets.safetensors", { activations: [n_tokens, 6] }, 2);
});
afterAll(() => rm(home, { recursive: true, force: true }));

const at = (name: string) => path.join(home, name);

/** A safetensors file of normal numbers. */
async function write(
  name: string,
  shapes: Record<string, number[]>,
  seed: number,
  scale = 1,
): Promise<string> {
  const tensors = Object.entries(shapes).map(([tensor, shape], index) => {
    const length = shape.reduce((product, extent) => product * extent, 1);
    const data = Float32Array.from(normals(length, index, seed), (value) => scale * value);
    return { name: tensor, shape, data };
  });
  await writeFile(at(name), Buffer.concat(safetensorsPieces(tensors)));
  return at(name);
}

/** Options of a run of 40 steps that take no time. */
const small = ["--d_sae", "24", "--k", "3", "--train_batch_size_tokens", "32", "--training_tokens", "1280"];
const often = ["--metrics_every_steps", "5", "--checkpoint_every_steps", "10"];
const software = ["--adapter", "software"];

const train = (out: string, ...more: string[]) =>
  facet("train", "--activations", acts, "--out", at(out), ...small, ...often, ...software, ...more);

async function rowsOf(folder: string): Promise<StepMetrics[]> {
  const text = await readFile(path.join(folder, "metrics.jsonl"), "utf8");
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as StepMetrics);
}

/** Every file of a folder by its bytes. */
async function contents(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder)).sort();
  const read = names.map(async (name) => [name, (await readFile(path.join(folder, name))).toString("hex")]);
  return Object.fromEntries(await Promise.all(read)) as Record<string, string>;
}

async function until(what: string, found: () => boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!found()) {
    if (Date.now() > deadline) throw new Error(`Waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe("a run from the shell", () => {
  let summary: TrainingSummary;
  beforeAll(async () => {
    const config = at("cfg.json");
    await writeFile(
      config,
      JSON.stringify({ d_sae: 24, k: 5, training_tokens: 1_280, metrics_every_steps: 5 }),
    );
    const { code, out, err } = await facetProcess(
      ...["train", "--config", config, "--activations", acts, "--out", at("shell"), "--json", ...software],
      ...["--k", "3", "--train_batch_size_tokens", "32", "--checkpoint_every_steps", "10"],
      ...["--hook-name", "blocks.1.hook_resid_post", "--model-name", "gpt2"],
    ).ended;
    expect(code, err).toBe(0);
    summary = JSON.parse(out) as TrainingSummary;
  });

  it("sums up in one line of JSON", () => {
    expect(summary).toMatchObject({ status: "completed", out: at("shell"), steps: 40, tokens: 1_280 });
    expect(summary.saes).toMatchObject([{ label: "", sae: at("shell/sae"), failure: null }]);
  });

  it("leaves its complete configuration, the command line over the file", async () => {
    const config = JSON.parse(await readFile(at("shell/config.json"), "utf8"));
    expect(Object.keys(config).sort()).toEqual(Object.keys(trainingConfigOptions.shape).sort());
    expect(config).toMatchObject({ d_in, d_sae: 24, k: 3, train_batch_size_tokens: 32 });
  });

  it("leaves a row of metrics an interval", async () => {
    const rows = await rowsOf(at("shell"));
    expect(rows.map(({ step }) => step)).toEqual([5, 10, 15, 20, 25, 30, 35, 40]);
    for (const row of rows) {
      expect(Object.keys(row).sort()).toEqual(
        [
          ...["step", "tokens", "loss", "mse_loss", "sparsity_loss", "aux_loss", "l0", "explained_variance"],
          ...["fvu", "dead_features", "grad_norm", "lr", "tokens_per_second", "sparsity_coefficient"],
          "gpu_bytes",
        ].sort(),
      );
    }
    expect(rows.at(-1)).toMatchObject({ tokens: 1_280, l0: 3 });
  });

  it("leaves checkpoints, and an SAE with its figures that a float64 evaluation confirms", async () => {
    expect((await readdir(at("shell/checkpoints"))).sort()).toEqual([
      "step_10",
      "step_20",
      "step_30",
      "step_40",
    ]);
    const { sae, format } = await readSae(at("shell/sae"));
    expect(format).toBe("saelens");
    expect(sae.config).toMatchObject({ activation: "topk", d_in, d_sae: 24, k: 3 });
    expect(sae.config.metadata).toMatchObject({ model_name: "gpt2", hook_name: "blocks.1.hook_resid_post" });
    const figures = JSON.parse(await readFile(at("shell/evaluation.json"), "utf8"));
    const { code, out } = await facet("eval", "--sae", at("shell/sae"), "--activations", acts, "--json");
    expect(code).toBe(0);
    const measured = JSON.parse(out);
    expect(figures).toMatchObject({ tokens: n_tokens, l0: 3 });
    expect(measured).toMatchObject({ tokens: n_tokens, l0: 3, max_cosine_features: 24 });
    expect(measured.fvu).toBeCloseTo(figures.fvu, 5);
    expect(measured.explained_variance).toBeCloseTo(figures.explained_variance, 5);
    // A table of the same, for people; of fewer rows.
    const table = await facet("eval", "--sae", at("shell"), "--activations", acts, "--tokens", "10");
    expect(table.out).toMatch(/^tokens +10$/m);
    expect(table.out).toMatch(/^relative_reconstruction_bias +[\d.]+$/m);
  });

  it("can be looked at, exported and imported", async () => {
    expect((await facet("inspect", at("shell"))).out).toMatch(/topk +8 +24 +40\/40 +finished/);
    expect((await facet("inspect", at("shell/sae"))).out).toContain("SAE: topk (saelens), 416 parameters");
    expect((await facet("inspect", at("shell/checkpoints/step_10"))).out).toContain("Checkpoint of step 10");
    expect(
      await facet("export", "--sae", at("shell"), "--format", "sparsify", "--out", at("sparsify")),
    ).toMatchObject({ code: 0 });
    expect(await facet("import", at("sparsify"), "--out", at("imported"))).toMatchObject({ code: 0 });
    const weights = "sae_weights.safetensors";
    expect(await readFile(at(`imported/${weights}`))).toEqual(await readFile(at(`shell/sae/${weights}`)));
    // Nothing is written over.
    expect(await facet("import", at("sparsify"), "--out", at("imported"))).toMatchObject({ code: 2 });
    expect(
      (await facet("export", "--sae", at("shell"), "--format", "saelense", "--out", at("x"))).err,
    ).toContain("did you mean saelens?");
  });
});

describe("a run that was cut short", () => {
  /** Long enough to be interrupted on any machine. */
  const long = [
    ...small.slice(0, -1),
    "19200",
    "--metrics_every_steps",
    "10",
    "--checkpoint_every_steps",
    "20",
  ];
  const begin = (out: string, ...more: string[]) => [
    ...["train", "--activations", acts, "--out", at(out), ...long, ...software],
    ...more,
  ];
  let whole: Record<string, string>;
  beforeAll(async () => {
    expect(await facet(...begin("whole"))).toMatchObject({ code: 0 });
    whole = await contents(at("whole/sae"));
  });

  async function expectWhole(run: string): Promise<void> {
    expect(await contents(at(`${run}/sae`))).toEqual(whole);
    const rows = await rowsOf(at(run));
    const expected = await rowsOf(at("whole"));
    const timeless = (row: StepMetrics) => ({ ...row, tokens_per_second: 0, gpu_bytes: 0 });
    expect(rows.map(timeless)).toEqual(expected.map(timeless));
  }

  it("by SIGKILL goes on from its newest whole checkpoint, to the very same SAE", async () => {
    const killed = facetProcess(...begin("killed"));
    await until("a second checkpoint", () => existsSync(at("killed/checkpoints/step_40")));
    killed.kill("SIGKILL");
    await killed.ended;
    expect(existsSync(at("killed/sae"))).toBe(false);
    const saved = (await readdir(at("killed/checkpoints"))).filter((name) => name.startsWith("step_"));
    const newest = Math.max(...saved.map((name) => Number(name.slice(5))));
    expect(newest).toBeLessThan(600);
    // A damaged one is passed over.
    await truncate(at(`killed/checkpoints/step_${newest}/state.safetensors`), 1_000);
    // Rows that were written after the checkpoint, and half a row.
    await writeFile(at("killed/metrics.jsonl"), `{"step":${newest + 10}}\n{"st`, { flag: "a" });
    const resumed = await facet("train", "--resume", at("killed"), ...software, "--json");
    expect(resumed.code, resumed.err).toBe(0);
    expect(resumed.err).toContain(`step_${newest} cannot be used`);
    expect(JSON.parse(resumed.out)).toMatchObject({ resumed_from: newest - 20, steps: 600 });
    await expectWhole("killed");
  });

  it("by SIGINT leaves a checkpoint and says how to go on", async () => {
    const stopped = facetProcess(...begin("stopped"));
    await until("a checkpoint", () => existsSync(at("stopped/checkpoints/step_20")));
    stopped.kill("SIGINT");
    const { code, err } = await stopped.ended;
    expect(code).toBe(130);
    const step = Number(/Stopped at step (\d+) of 600/.exec(err)?.[1]);
    expect(err).toContain(`npm run facet -- train --resume ${at("stopped")}`);
    expect(existsSync(at(`stopped/checkpoints/step_${step}`))).toBe(true);
    expect((await facet("inspect", at("stopped"))).out).toContain(`${step}/600`);
    // With all of its options again, which must be the same.
    const resumed = await facet(...begin("stopped", "--resume", at("stopped"), "--json"));
    expect(resumed.code, resumed.err).toBe(0);
    expect(JSON.parse(resumed.out)).toMatchObject({ resumed_from: step });
    await expectWhole("stopped");
  });

  it("goes on from a checkpoint that is named, in another folder", async () => {
    const from = at("whole/checkpoints/step_580");
    const resumed = await facet("train", "--resume", from, "--out", at("other"), ...software, "--json");
    expect(resumed.code, resumed.err).toBe(0);
    expect(JSON.parse(resumed.out)).toMatchObject({ resumed_from: 580, out: at("other") });
    await expectWhole("other");
  });

  it("that had ended is finished again, wherever it is to be kept, but not over another run", async () => {
    const given = ["train", "--resume", at("whole"), ...software, "--out"];
    expect(await facet(...given, at("finished"))).toMatchObject({ code: 0 });
    await expectWhole("finished");
    expect(await readdir(at("finished/checkpoints"))).toEqual(["step_600"]);
    expect(await facet(...given, at("killed"))).toMatchObject({
      code: 2,
      err: expect.stringContaining("holds a run"),
    });
  });

  it("takes a failed step again from a checkpoint before it", async () => {
    await writeFile(at("finished/failure.json"), JSON.stringify({ step: 590, message: "lost" }));
    const from = at("whole/checkpoints/step_580");
    await writeFile(at("whole/failure.json"), JSON.stringify({ step: 590, message: "lost" }));
    expect(await facet("train", "--resume", from, "--out", at("again"), ...software)).toMatchObject({
      code: 0,
    });
    await expectWhole("again");
    // Where there is none before it, the failure stands.
    const failed = await facet("train", "--resume", at("finished"), ...software);
    expect(failed).toMatchObject({ code: 3, out: expect.stringContaining("diverged at step 590") });
    await rm(at("whole/failure.json"));
  });

  it("goes on with nothing but its own options and data", async () => {
    const options = await facet(...begin("whole", "--resume", at("whole"), "--lr", "0.1"));
    expect(options).toMatchObject({
      code: 2,
      err: expect.stringContaining("lr: The run was begun with lr left empty, not 0.1"),
    });
    const other = await write("other.safetensors", { activations: [n_tokens, d_in] }, 9);
    const data = await facet("train", "--resume", at("whole"), "--activations", other);
    expect(data).toMatchObject({ code: 2, err: expect.stringContaining("These are other activations") });
    expect(await facet("train", "--resume", at("nothing"))).toMatchObject({
      code: 2,
      err: expect.stringContaining("holds neither a run nor a checkpoint"),
    });
    expect(await facet(...begin("whole"))).toMatchObject({
      code: 2,
      err: expect.stringContaining(`Go on with it by --resume ${at("whole")}`),
    });
  });
});

describe("what a run is given", () => {
  it("in order: the first step sees the first rows, from the parameters of --init", async () => {
    const init = await write(
      "init.safetensors",
      { W_enc: [d_in, 24], b_enc: [24], W_dec: [24, d_in], b_dec: [d_in] },
      4,
      0.3,
    );
    const options = [
      "--no-shuffle",
      "--init",
      init,
      "--normalize_activations",
      "none",
      "--decoder_norm",
      "free",
    ];
    const more = [...options, "--metrics_every_steps", "1", "--rescale_acts_by_decoder_norm", "false"];
    const run = ["train", "--activations", acts, "--out", at("order"), ...small, ...software, ...more];
    const { code, err } = await facet(...run);
    expect(code, err).toBe(0);
    const shapes = { W_enc: [d_in, 24], b_enc: [24], W_dec: [24, d_in], b_dec: [d_in] };
    const tensors = Object.fromEntries(
      Object.entries(shapes).map(([name, shape], index) => {
        const length = shape.reduce((product, extent) => product * extent, 1);
        return [name, { shape, data: Float32Array.from(normals(length, index, 4), (value) => 0.3 * value) }];
      }),
    );
    const { sae } = await readSae(at("order/sae"));
    const x = Float32Array.from(normals(n_tokens * d_in, 0, 1)).subarray(0, 32 * d_in);
    const out = reconstruct({ config: sae.config, tensors }, x);
    const mse = out.reduce((sum, value, index) => sum + (value - x[index]!) ** 2, 0) / 32;
    const [first] = await rowsOf(at("order"));
    expect(first).toMatchObject({ step: 1, mse_loss: expect.closeTo(mse, 4) });

    // The same rows in two files of a folder, over and over, give the same SAE.
    await mkdir(at("halves"));
    const all = Float32Array.from(normals(n_tokens * d_in, 0, 1));
    for (const [name, part] of [
      ["a", all.slice(0, 100 * d_in)],
      ["b", all.slice(100 * d_in)],
    ] as const) {
      const tensor = { name: "activations", shape: [part.length / d_in, d_in], data: part };
      await writeFile(at(`halves/${name}.safetensors`), Buffer.concat(safetensorsPieces([tensor])));
    }
    const again = await facet(
      ...run.map((word) => (word === acts ? at("halves") : word === at("order") ? at("order2") : word)),
    );
    expect(again.code, again.err).toBe(0);
    expect((await contents(at("order2/sae")))["sae_weights.safetensors"]).toBe(
      (await contents(at("order/sae")))["sae_weights.safetensors"],
    );
  });

  it("parameters that do not fit are named", async () => {
    const misfits: [Record<string, number[]>, string][] = [
      [{ W_encoder: [d_in, 24] }, "W_encoder"],
      [{ W_enc: [24, d_in] }, "W_enc is [24, 8], expected f32 [8, 24]"],
    ];
    for (const [shapes, named] of misfits) {
      const init = await write("wrong.safetensors", shapes, 5);
      const { code, err } = await train("misfit", "--init", init);
      expect(code).toBe(2);
      expect(err).toContain("The weights to start from do not fit the configuration");
      expect(err).toContain(named);
    }
    expect(existsSync(at("misfit"))).toBe(false);
  });

  it("a target makes a transcoder, several hook points a crosscoder", async () => {
    const transcoder = await train("transcoder", "--architecture", "skip_transcoder", "--targets", targets);
    expect(transcoder.code, transcoder.err).toBe(0);
    const against = ["--activations", acts, "--targets", targets];
    const measured = await facet("eval", "--sae", at("transcoder/sae"), ...against, "--json");
    expect(measured.code, measured.err).toBe(0);
    const figures = JSON.parse(await readFile(at("transcoder/evaluation.json"), "utf8"));
    expect(JSON.parse(measured.out).fvu).toBeCloseTo(figures.fvu, 4);
    expect(await facet("eval", "--sae", at("transcoder/sae"), "--activations", acts)).toMatchObject({
      code: 2,
      err: expect.stringContaining("--targets: This is a transcoder"),
    });

    const second = await write("second.safetensors", { activations: [n_tokens, d_in] }, 3);
    const topk = ["--architecture", "crosscoder", "--base_architecture", "topk"];
    const crosscoder = await train("crosscoder", ...topk, "--activations", second);
    expect(crosscoder.code, crosscoder.err).toBe(0);
    expect(JSON.parse(await readFile(at("crosscoder/config.json"), "utf8"))).toMatchObject({
      d_in,
      n_hook_points: 2,
    });
    const points = ["--activations", acts, "--activations", second];
    const both = await facet("eval", "--sae", at("crosscoder/sae"), ...points, "--json");
    expect(both.code, both.err).toBe(0);
  });
});

describe("a sweep", () => {
  it("trains every SAE as it would be by itself, each in its own folder", async () => {
    const { code, out, err } = await train(
      "sweep",
      "--sweep",
      "k=2,3",
      "--sweep",
      "lr=0.001,0.002",
      "--json",
    );
    expect(code, err).toBe(0);
    const labels = ["k=2,lr=0.001", "k=2,lr=0.002", "k=3,lr=0.001", "k=3,lr=0.002"];
    expect((JSON.parse(out) as TrainingSummary).saes.map(({ label }) => label)).toEqual(labels);
    const small2 = await train("alone", "--lr", "0.002");
    expect(small2.code, small2.err).toBe(0);
    expect(await contents(at("sweep/k=3,lr=0.002/sae"))).toEqual(await contents(at("alone/sae")));
    expect(await rowsOf(at("sweep/k=2,lr=0.001"))).toHaveLength(8);
  });

  it("goes on without the one that diverges, and names it; so does a resumed one", async () => {
    // Activations that 16-bit numbers cannot hold.
    const huge = await write("huge.safetensors", { activations: [n_tokens, d_in] }, 1, 1e6);
    const given = ["--activations", huge, "--normalize_activations", "none", "--sweep", "precision=f32,f16"];
    const run = ["train", "--out", at("diverging"), ...small, ...often, ...software, ...given];
    const { code, out, err } = await facet(...run, "--json");
    expect(code, err).toBe(1);
    expect(err).toContain("precision=f16: Training diverged at step 1");
    const { status, saes } = JSON.parse(out) as TrainingSummary;
    expect(status).toBe("failed");
    expect(saes).toMatchObject([
      { label: "precision=f32", failure: null },
      { label: "precision=f16", sae: null, failure: { step: 1 } },
    ]);
    expect(existsSync(at("diverging/precision=f16/sae"))).toBe(false);
    const before = await contents(at("diverging/precision=f32/sae"));
    await rm(at("diverging/precision=f32/sae"), { recursive: true });
    const step = at("diverging/precision=f32/checkpoints/step_20");
    expect(await facet("train", "--resume", step, ...software)).toMatchObject({ code: 1 });
    expect(await contents(at("diverging/precision=f32/sae"))).toEqual(before);
  });

  it("of one that diverges, the exit code says so", async () => {
    const huge = await write("huge.safetensors", { activations: [n_tokens, d_in] }, 1, 1e25);
    const given = ["--activations", huge, "--normalize_activations", "none"];
    const run = ["train", "--out", at("diverged"), ...small, ...often, ...software, ...given];
    const { code, out, err } = await facet(...run);
    expect(code).toBe(3);
    expect(err).toContain("Training diverged at step 1");
    expect(out).toContain("diverged at step 1.");
  });
});

describe("what is wrong with the input", () => {
  it("is all named before anything is written", async () => {
    const { code, err } = await facet(
      ...["train", "--activations", acts, "--out", at("wrong"), ...small],
      ...["--lrr", "1", "--d_in", "16", "--sweep", "kk=1", "--precision", "f8"],
    );
    expect(code).toBe(2);
    expect(err.split("\n")).toEqual([
      "--lrr: There is no option lrr; did you mean lr?",
      expect.stringContaining("sweep: There is no option kk"),
      expect.stringContaining("d_in: d_in is 16, but the activations have width 8."),
      expect.stringContaining("precision: "),
    ]);
    expect(existsSync(at("wrong"))).toBe(false);
  });

  it("NaN is found by file, row and column", async () => {
    const data = Float32Array.from(normals(n_tokens * d_in, 0, 1));
    data[100 * d_in + 3] = Number.NaN;
    const tensor = { name: "activations", shape: [n_tokens, d_in], data };
    await writeFile(at("nan.safetensors"), Buffer.concat(safetensorsPieces([tensor])));
    const run = ["train", "--activations", at("nan.safetensors"), "--out", at("wrong"), ...small];
    const { code, err } = await facetProcess(...run).ended;
    expect(code).toBe(2);
    expect(err).toContain(`${at("nan.safetensors")}: 1 row of "activations" holds NaN`);
    expect(err).toContain("row 100, column 3");
    expect(existsSync(at("wrong"))).toBe(false);
    const measured = await facet("eval", "--sae", at("shell"), "--activations", at("nan.safetensors"));
    expect(measured).toMatchObject({ code: 2, err: expect.stringContaining("row 100, column 3") });
  });

  it.each([
    [["train"], "--activations: Give a safetensors file"],
    [
      ["train", "--activations", "none.safetensors", "--out", "none"],
      "There is no file or folder none.safetensors",
    ],
    [["train", "more"], "takes nothing after it"],
    [["eval", "--sae", "x"], "eval needs --activations"],
    [["eval", "--saes", "x"], "did you mean --sae?"],
    [["inspect"], "takes one argument after it"],
    [["inspect", "/none"], "There is no file /none"],
    [["import", "/none"], "import needs --out"],
    [["trian"], "did you mean “train”?"],
  ])("%j", async (argv, message) => {
    const { code, err } = await facet(...argv);
    expect(code).toBe(2);
    expect(err).toContain(message);
  });

  it("an adapter that there is not is a failure, not a fault", async () => {
    const { code, err } = await facet(
      "train",
      "--activations",
      acts,
      "--out",
      at("wrong"),
      ...small,
      "--adapter",
      "no such",
    );
    expect(code).toBe(1);
    expect(err).toContain('No adapter matches "no such"');
    expect(existsSync(at("wrong"))).toBe(false);
  });
});
