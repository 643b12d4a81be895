import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openActivationSet } from "../../server/artifacts/activation-set.ts";
import { readSae } from "../../server/formats/formats.ts";
import type { TrainingSummary } from "../../server/headless/training-summary.ts";
import { tiny, writeTinyModel, writeTinyTexts } from "../integration/tiny-model.ts";
import { facet } from "./facet-command.ts";

const hooks = ["blocks.0.hook_resid_post", "blocks.1.hook_resid_post", "blocks.0.mlp.hook_post"];
const software = ["--adapter", "software"];

let home: string;
beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-capture-command-"));
  await writeTinyModel(at("model"));
  await done("dataset", "import", await writeTinyTexts(at("texts.jsonl"), 24), "--out", at("dataset"));
  await done(
    ...["tokenize", "--dataset", at("dataset"), "--model", at("model"), "--context-size", "16"],
    ...["--held-out", "0.1", "--out", at("tokens")],
  );
});
afterAll(() => rm(home, { recursive: true, force: true }));

const at = (name: string) => path.join(home, name);

/** What a command line says that ends well. */
async function done(...argv: string[]): Promise<string> {
  const { code, out, err } = await facet(...argv);
  expect(code, err).toBe(0);
  return out;
}

const capturing = (...more: string[]) => [
  ...["capture", "--model", at("model"), "--tokens", at("tokens"), "--hooks", hooks.join(",")],
  ...["--out", at("acts"), ...software, ...more],
];
const small = ["--d_sae", "32", "--k", "3", "--train_batch_size_tokens", "32", "--training_tokens", "320"];
const train = (out: string, ...more: string[]) =>
  facet(
    "train",
    ...["--activations", at("acts"), "--out", at(out), ...small, ...software, "--json", ...more],
  );

describe("capture of a folder of tokens", () => {
  it("says before what it takes, makes a set for each hook point, and does nothing again", async () => {
    const forecast = JSON.parse(await done(...capturing("--estimate", "--json"))) as { bytes: number };
    expect(existsSync(at("acts"))).toBe(false);
    expect(await done(...capturing("--estimate"))).toMatch(
      /Disk: .*\nMemory: .* on the GPU.*\nTime: .*tokens\/s measured on/,
    );
    const summary = JSON.parse(
      await done(...capturing("--exclude-tokens", "32", "--shard-tokens", "200", "--json")),
    );
    expect(summary.sets.map(({ hook_name }: { hook_name: string }) => hook_name)).toEqual(hooks);
    expect(summary.sets.reduce((sum: number, { bytes }: { bytes: number }) => sum + bytes, 0)).toBe(
      forecast.bytes,
    );
    for (const hook of hooks) {
      const set = await openActivationSet(at(`acts/${hook}`));
      expect(set.manifest).toMatchObject({ dtype: "float16", excluded_token_ids: [32], model_name: "model" });
      await set.verify(new AbortController().signal);
      await set.close();
    }
    const manifest = JSON.parse(await readFile(at(`acts/${hooks[0]}/manifest.json`), "utf8"));
    // 12 whole sequences of 16 fit.
    expect(manifest.shards[0].n_sequences).toBe(12);
    expect(await done(...capturing("--exclude-tokens", "32", "--shard-tokens", "200"))).toContain(
      "All was captured already.",
    );
    const other = await facet(
      ...capturing("--dtype", "float32", "--shard-tokens", "200", "--exclude-tokens", "32"),
    );
    expect([other.code, other.err]).toEqual([
      2,
      expect.stringMatching(/its dtype is "float16", not "float32"/),
    ]);
  });

  it("tells everything that is wrong with its options", async () => {
    const wrong = await facet(
      ...capturing(
        "--dtype",
        "int8",
        "--exclude-tokens",
        "1,x",
        "--outlier-norm",
        "big",
        "--shard-tokens",
        "0",
      ),
    );
    expect(wrong.code).toBe(2);
    for (const option of ["--dtype", "--exclude-tokens", "--outlier-norm", "--shard-tokens"]) {
      expect(wrong.err).toContain(`${option}: `);
    }
    const norm = await facet(...capturing("--outlier-norm", "0.5"));
    expect([norm.code, norm.err]).toEqual([2, "--outlier-norm: It is a number above 1, not 0.5."]);
    const hook = await facet(
      "capture",
      "--model",
      at("model"),
      "--tokens",
      at("tokens"),
      "--hooks",
      "blocks.0.hook_resid_pots",
      "--out",
      at("x"),
      ...software,
    );
    expect(hook.err).toMatch(/^--hooks: .*Did you mean blocks\.0\.hook_resid_post\?/);
    const file = await facet(
      "capture",
      "--model",
      at("model"),
      "--tokens",
      at("ids.safetensors"),
      "--hooks",
      hooks[0]!,
      "--out",
      at("x"),
      "--dtype",
      "float16",
      "--estimate",
    );
    expect(file.err).toMatch(/^--dtype: It belongs to a folder of tokens.*\n--estimate: /);
  });

  it("is inspected: what the sets are of, without the numbers of a mean", async () => {
    const shown = await done("inspect", at(`acts/${hooks[0]}`));
    expect(shown).toMatch(/^Activation set, /);
    expect(shown).toMatch(/hook_name +blocks\.0\.hook_resid_post\n/);
    expect(shown).toMatch(/mean +\[16\]/);
    expect(JSON.parse(await done("inspect", at(`acts/${hooks[0]}`), "--json"))).toMatchObject({
      kind: "activation_set",
      manifest: { format_version: 2 },
    });
    await mkdir(at("acts/blocks.1.hook_mlp_out.capture"));
    const all = await done("inspect", at("acts"));
    expect(all).toMatch(/^Captured activations of model on texts\.jsonl\nhook point .*\n/);
    expect(all).toMatch(/^blocks\.0\.mlp\.hook_post +64 +\d+ +\d+ +float16 /m);
    expect(all).toMatch(/^Not whole yet: blocks\.1\.hook_mlp_out\./m);
    expect(all).toContain(`train --activations ${at("acts")} --hooks ${[...hooks].sort()[0]} `);
    await rm(at("acts/blocks.1.hook_mlp_out.capture"), { recursive: true });
  });

  it("is inspected like what it was made of, and nothing else is taken for it", async () => {
    for (const [name, kind, what, next] of [
      ["model", "model", /^Model model\n[\s\S]*blocks\.1\.hook_resid_post +16\n/, "tokenize --dataset"],
      ["dataset", "dataset", /^Dataset texts\.jsonl\n[\s\S]*documents +24\n/, "tokenize --dataset"],
      ["tokens", "tokens", /^Tokens of texts\.jsonl by the tokenizer of model\n/, "capture --model"],
    ] as const) {
      const shown = await done("inspect", at(name));
      expect(shown).toMatch(what);
      expect(shown).toContain(`npm run facet -- ${next}`);
      expect(shown).toContain(at(name));
      expect(JSON.parse(await done("inspect", at(name), "--json"))).toMatchObject({ kind, path: at(name) });
    }
    const { code, err } = await facet("inspect", home);
    expect([code, err]).toEqual([
      2,
      expect.stringMatching(/is nothing that is known here\. Looked for a run /),
    ]);
  });
});

describe("training on captured sets", () => {
  it("makes an SAE for each of the hook points that are named, goes on, and evaluates on what was held out", async () => {
    const trained = await train("two", "--hooks", hooks.slice(1).join(","));
    expect(trained.code, trained.err).toBe(0);
    const { saes } = JSON.parse(trained.out) as TrainingSummary;
    expect(saes.map(({ label }) => label)).toEqual(hooks.slice(1));
    for (const [index, d_in] of [tiny.d_model, tiny.d_mlp].entries()) {
      const { sae } = await readSae(saes[index]!.sae!);
      expect(sae.config).toMatchObject({
        d_in,
        metadata: { hook_name: hooks[index + 1], model_name: "model" },
      });
    }
    const again = await facet("train", "--resume", at("two"), ...software, "--json");
    expect(again.code, again.err).toBe(0);
    const set = await openActivationSet(at(`acts/${hooks[2]}`));
    const heldOut = set.held_out!.n_rows;
    await set.close();
    const evaluated = await facet(
      "eval",
      "--sae",
      saes[1]!.sae!,
      "--activations",
      at(`acts/${hooks[2]}`),
      "--json",
    );
    expect(evaluated.err).toBe(`Note: measured on ${heldOut} of the held-out rows.`);
    expect(JSON.parse(evaluated.out)).toMatchObject({ tokens: heldOut });
  });

  it("makes a crosscoder of several, a transcoder with a target, and an SAE of the one set named", async () => {
    const cross = await train(
      "cross",
      "--architecture",
      "crosscoder",
      "--base_architecture",
      "topk",
      "--hooks",
      hooks.slice(0, 2).join(","),
    );
    expect(cross.code, cross.err).toBe(0);
    const { saes } = JSON.parse(cross.out) as TrainingSummary;
    expect((await readSae(saes[0]!.sae!)).sae.config).toMatchObject({
      n_hook_points: 2,
      d_in: 2 * tiny.d_model,
    });
    const trans = await train(
      "trans",
      "--architecture",
      "transcoder",
      "--hooks",
      hooks[0]!,
      "--target-hook",
      hooks[2]!,
    );
    expect(trans.code, trans.err).toBe(0);
    const { sae } = await readSae((JSON.parse(trans.out) as TrainingSummary).saes[0]!.sae!);
    expect(sae.config).toMatchObject({
      d_in: tiny.d_model,
      d_out: tiny.d_mlp,
      metadata: { hook_name: hooks[0], hook_name_out: hooks[2] },
    });
    const one = await facet(
      ...["train", "--activations", at(`acts/${hooks[0]}`), "--out", at("one"), ...small, ...software],
    );
    expect(one.code, one.err).toBe(0);
  });

  it("is refused where it is not said which hook points, where there is no such one, and where a file is damaged", async () => {
    const unnamed = await train("none");
    expect([unnamed.code, unnamed.err]).toEqual([
      2,
      expect.stringMatching(/^--activations: .*several hook points; name those to use with --hooks: /),
    ]);
    const unknown = await train("none", "--hooks", `${hooks[0]},other`);
    expect([unknown.code, unknown.err]).toEqual([
      2,
      expect.stringMatching(/^--hooks: .* has no set of other\. It has /),
    ]);
    const ofFile = await facet(
      ...["train", "--activations", at("texts.jsonl"), "--hooks", hooks[0]!, "--out", at("none"), ...small],
    );
    expect(ofFile.err).toMatch(/^--hooks: Hook points are named of one folder that facet capture has made/);
    // Another capture's mask: rows beside one another would be other tokens'.
    await done(
      ...[
        "capture",
        "--model",
        at("model"),
        "--tokens",
        at("tokens"),
        "--hooks",
        hooks[1]!,
        "--out",
        at("all"),
        ...software,
      ],
    );
    const apart = await facet(
      ...["train", "--activations", at(`acts/${hooks[0]}`), "--activations", at(`all/${hooks[1]}`)],
      ...["--out", at("none"), ...small, "--architecture", "crosscoder"],
    );
    expect(apart.code).toBe(2);
    expect(apart.err).toMatch(/has \d+ rows, but|keep rows of different tokens/);
    const file = at(`acts/${hooks[1]}/rows-00001.bin`);
    const bytes = await readFile(file);
    bytes[3]! ^= 1;
    await writeFile(file, bytes);
    const damaged = await train("none", "--hooks", hooks[1]!);
    expect([damaged.code, damaged.err]).toEqual([
      2,
      expect.stringMatching(/the hash of rows-00001.bin is another/),
    ]);
    expect(existsSync(at("none"))).toBe(false);
  });
});
