import { existsSync } from "node:fs";
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openGpu } from "../../gpu/device/node.ts";
import { evaluateInModel } from "../../gpu/metrics/evaluate-in-model.ts";
import { readSae } from "../../server/formats/formats.ts";
import type { TrainingSummary } from "../../server/headless/training-summary.ts";
import { openModelFolder } from "../../server/models/model-folder.ts";
import { openTokenSet } from "../../server/tokens/token-set.ts";
import { tiny, writeTinyModel, writeTinyTexts } from "../integration/tiny-model.ts";
import { facet, facetProcess } from "./facet-command.ts";

const residual = "blocks.0.hook_resid_post";
const mlp = "blocks.1.mlp.hook_post";
/** Read by the pass, but nothing can be put in its place. */
const normalised = "blocks.1.ln1.hook_normalized";
const software = ["--adapter", "software"];
const heldOut = 3;

let home: string;
const at = (name: string) => path.join(home, name);

beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-live-command-"));
  await done("model", "import", await writeTinyModel(at("small-gpt2")), "--out", at("model"));
  await done("dataset", "import", await writeTinyTexts(at("texts.jsonl"), 24), "--out", at("dataset"));
  await done(
    ...["tokenize", "--dataset", at("dataset"), "--model", at("model"), "--context-size", "16"],
    ...["--held-out", "0.1", "--out", at("tokens")],
  );
});
afterAll(() => rm(home, { recursive: true, force: true }));

/** What a command line says that ends well. */
async function done(...argv: string[]): Promise<string> {
  const { code, out, err } = await facet(...argv);
  expect(code, err).toBe(0);
  return out;
}

/** A run of 20 steps that is measured when it has taken half of them, and saved at other ones. */
const training = (out: string, hooks: string, ...more: string[]) => [
  ...["train", "--model", at("model"), "--tokens", at("tokens"), "--hooks", hooks, "--out", at(out)],
  ...["--d_sae", "32", "--k", "3", "--train_batch_size_tokens", "32", "--training_tokens", "640"],
  ...["--checkpoint_every_steps", "7", "--eval-sequences", String(heldOut), ...software, "--json", ...more],
];
const several = (out: string) => training(out, `${mlp},${normalised}`, "--eval-every", "10");

/** Every file of a folder by its bytes. */
async function contents(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder)).sort();
  const read = names.map(async (name) => [name, (await readFile(path.join(folder, name))).toString("hex")]);
  return Object.fromEntries(await Promise.all(read)) as Record<string, string>;
}

const json = async (file: string) => JSON.parse(await readFile(at(file), "utf8"));
const evaluationsOf = (run: string) => readFile(at(`${run}/model-evaluations.jsonl`), "utf8");

describe("training on a language model as it runs", () => {
  let said: string;
  let summary: TrainingSummary;
  beforeAll(async () => {
    const { code, out, err } = await facet(...several("all"));
    expect(code, err).toBe(0);
    summary = JSON.parse(out) as TrainingSummary;
    said = err;
  });

  it("makes of several hook points, in one pass, the SAEs that each alone would give", async () => {
    expect(summary.saes.map(({ label }) => label)).toEqual([mlp, normalised]);
    await done(...training("alone", mlp));
    expect(await contents(at(`all/${mlp}/sae`))).toEqual(await contents(at("alone/sae")));
    const { sae } = await readSae(at(`all/${normalised}/sae`));
    expect(sae.config).toMatchObject({ d_in: tiny.d_model, metadata: { hook_name: normalised } });
  });

  it("says in the SAE what it is of, by the model's own name", async () => {
    const { sae } = await readSae(at(`all/${mlp}/sae`));
    expect(sae.config).toMatchObject({
      d_in: tiny.d_mlp,
      metadata: { hook_name: mlp, model_name: "small-gpt2", dataset_name: "texts.jsonl" },
    });
  });

  it("measures each within the model at intervals, and says where it cannot", async () => {
    const rows = (await evaluationsOf(`all/${mlp}`)).trimEnd().split("\n");
    expect(rows.map((row) => JSON.parse(row).step)).toEqual([10, 20]);
    expect(await evaluationsOf("alone")).toBe(`${rows[1]}\n`);
    const { in_model } = await json(`all/${mlp}/evaluation.json`);
    expect(in_model).toEqual(JSON.parse(rows[1]!));
    expect(summary.saes[0]!.evaluation).toMatchObject({ in_model });
    expect(said).toMatch(/ln1\.hook_normalized can be read but not replaced/);
    expect(existsSync(at(`all/${normalised}/model-evaluations.jsonl`))).toBe(false);
  });

  it("goes on after SIGKILL to the same bits, and to each measurement once", async () => {
    const killed = facetProcess(...several("killed"));
    // The last one's checkpoint is the last of its step.
    const saved = at(`killed/${normalised}/checkpoints/step_7`);
    for (const deadline = Date.now() + 120_000; !existsSync(saved); ) {
      if (Date.now() > deadline) throw new Error("There was no checkpoint.");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    killed.kill("SIGKILL");
    await killed.ended;
    expect(existsSync(at(`killed/${mlp}/sae`))).toBe(false);
    // As of a crash right after measuring.
    await appendFile(at(`killed/${mlp}/model-evaluations.jsonl`), '{"step":19,"kl":1}\n{"st');
    const other = await facet("train", "--resume", at("killed"), "--eval-every", "5", "--activations", home);
    expect(other.code).toBe(2);
    expect(other.err).toMatch(/^--eval-every: The run was begun with 10, and goes on so/m);
    expect(other.err).toMatch(/^--activations: The run was begun on a language model/m);
    const resumed = JSON.parse(await done("train", "--resume", at("killed"), ...software, "--json"));
    expect(resumed.resumed_from).toBeGreaterThanOrEqual(7);
    expect(await contents(at(`killed/${mlp}/sae`))).toEqual(await contents(at(`all/${mlp}/sae`)));
    expect(await evaluationsOf(`killed/${mlp}`)).toBe(await evaluationsOf(`all/${mlp}`));
    expect(await json(`killed/${mlp}/evaluation.json`)).toEqual(await json(`all/${mlp}/evaluation.json`));
  });

  it("trains a transcoder, which eval finds to be worth what an evaluation of its parts says", async () => {
    await done(...training("transcoder", residual, "--architecture", "transcoder", "--target-hook", mlp));
    const { sae } = await readSae(at("transcoder/sae"));
    expect(sae.config).toMatchObject({
      d_in: tiny.d_model,
      d_out: tiny.d_mlp,
      metadata: { hook_name: residual, hook_name_out: mlp },
    });
    const evaluated = JSON.parse(
      await done(
        ...["eval", "--sae", at("transcoder"), "--model", at("model"), "--tokens", at("tokens")],
        ...["--sequences", String(heldOut), ...software, "--json"],
      ),
    );
    const gpu = await openGpu({ adapter: "software" });
    const model = await openModelFolder(at("model"));
    const tokens = await openTokenSet(at("tokens"));
    try {
      const { feature_frequency, density_histogram, ...figures } = await evaluateInModel({
        ...{ gpu, spec: model.spec, weights: model.weights, tokens, sae },
        ...{ hook: residual, hook_out: mlp, n_sequences: heldOut },
        first_sequence: tokens.n_sequences - tokens.manifest.held_out_sequences,
      });
      expect(evaluated).toEqual({
        ...{ sae: at("transcoder"), hook: residual, hook_out: mlp, n_sequences: heldOut },
        ...figures,
      });
      expect(feature_frequency).toHaveLength(32);
      expect(density_histogram.counts.length).toBeGreaterThan(0);
      const { in_model } = await json("transcoder/evaluation.json");
      expect(in_model).toEqual({ step: 20, ...figures });
    } finally {
      await tokens.close();
      await model.close();
      gpu.close();
    }
  });

  it("is refused, with every reason and before anything is written", async () => {
    const refused = async (reason: RegExp, ...argv: string[]) => {
      const { code, err } = await facet(...argv);
      expect([code, err]).toEqual([2, expect.stringMatching(reason)]);
    };
    await refused(
      /--hooks: .*Did you mean blocks\.0\.hook_resid_post\?/,
      ...training("none", "blocks.0.hook_resid_pots"),
    );
    await refused(
      /--activations: .*leave one of the two out/,
      ...training("none", mlp, "--activations", home),
    );
    await refused(
      /--hooks: A transcoder reads one hook point/,
      ...training("none", `${residual},${mlp}`, "--target-hook", mlp, "--architecture", "transcoder"),
    );
    await refused(/--target-hook/, ...training("none", mlp, "--architecture", "transcoder"));
    await refused(
      /--eval-every: It is of training on a language model/,
      ...["train", "--activations", at("texts.jsonl"), "--out", at("none"), "--eval-every", "5"],
    );
    await refused(
      /--hook: .*can be read but not replaced/,
      ...["eval", "--sae", at(`all/${normalised}/sae`), "--model", at("model"), "--tokens", at("tokens")],
    );
    // Two bytes change places, so that the ids are within bounds and mean something else.
    const tokenizer = JSON.parse(await readFile(at("model/tokenizer.json"), "utf8"));
    const { a, b } = tokenizer.model.vocab;
    Object.assign(tokenizer.model.vocab, { a: b, b: a });
    await writeTinyModel(at("other"));
    await writeFile(at("other/tokenizer.json"), JSON.stringify(tokenizer));
    const ofOther = ["--model", at("other"), "--tokens", at("tokens"), ...software];
    const another = /--tokens: It was made with another tokenizer, that of small-gpt2/;
    await refused(another, "train", ...ofOther, "--hooks", mlp, "--out", at("none"), "--d_sae", "32");
    await refused(another, "eval", "--sae", at(`all/${mlp}/sae`), ...ofOther);
    await refused(another, "capture", ...ofOther, "--hooks", mlp, "--out", at("none"));
    expect(existsSync(at("none"))).toBe(false);
  });
});
