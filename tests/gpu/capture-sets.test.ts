import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { openLanguageModel } from "../../gpu/lm/language-model.ts";
import { openActivationSet } from "../../server/artifacts/activation-set.ts";
import type { CapturedManifest } from "../../server/artifacts/captured-manifest.ts";
import { type Capture, captureActivations } from "../../server/captures/capture.ts";
import { importDataset } from "../../server/datasets/import.ts";
import { type ModelFolder, openModelFolder } from "../../server/models/model-folder.ts";
import { openTokenSet, type TokenSet } from "../../server/tokens/token-set.ts";
import { tokenizeDataset } from "../../server/tokens/tokenize.ts";
import { tiny, writeTinyModel, writeTinyTexts } from "../integration/tiny-model.ts";

const hooks = ["blocks.1.hook_resid_post", "blocks.0.mlp.hook_post"];
const length = 16;
const space = 32;

let home: string;
let gpu: Gpu;
let model: ModelFolder;
let tokens: TokenSet;
/** Rows of each hook point by token, as the model itself gives them. */
let expected: Map<string, Float32Array>;
let ids: Uint32Array;
let kinds: Uint8Array;
beforeAll(async () => {
  home = await mkdtemp(path.join(os.tmpdir(), "facet-capture-sets-"));
  gpu = await openGpu({ adapter: "software" });
  model = await openModelFolder(await writeTinyModel(at("model")));
  const signal = new AbortController().signal;
  const quiet = { signal, onProgress: () => undefined };
  await importDataset({
    source: { kind: "path", path: await writeTinyTexts(at("texts.jsonl"), 30) },
    folder: at("dataset"),
    options: {},
    hub: null,
    ...quiet,
  });
  const options = { context_size: length, held_out: 0.1, remainder: "pad" as const };
  await tokenizeDataset({
    dataset: at("dataset"),
    model: at("model"),
    folder: at("tokens"),
    options,
    ...quiet,
  });
  tokens = await openTokenSet(at("tokens"));
  ids = await tokens.read(0, tokens.n_sequences);
  kinds = await tokens.kinds(0, tokens.n_sequences);
  const opened = await openLanguageModel({
    gpu,
    spec: model.spec,
    weights: model.weights,
    hooks,
    n_sequences: tokens.n_sequences,
    length,
  });
  expected = await opened.forward(ids);
  opened.close();
});
afterAll(async () => {
  await tokens.close();
  await model.close();
  gpu.close();
  await rm(home, { recursive: true, force: true });
});

const at = (name: string) => path.join(home, name);

function capture(name: string, overrides: Partial<Capture> = {}): Promise<CapturedManifest[]> {
  return captureActivations({
    gpu,
    model,
    tokens,
    sets: hooks.map((hook, index) => ({ hook, folder: at(`${name}/${index}`) })),
    dtype: "float32",
    excluded_token_ids: [],
    batch_size: 4,
    model_name: "tiny",
    model_sha256: "0",
    dataset_name: "words",
    signal: new AbortController().signal,
    onProgress: () => undefined,
    // Six sequences of the widest hook point.
    file_bytes: 6 * length * tiny.d_mlp * 4,
    ...overrides,
  }).then(({ manifests }) => manifests);
}

/** Numbers of the tokens that are text, before and after the last sequences that are held out. */
function textTokens(excluded: number[] = []): { training: number[]; heldOut: number[] } {
  const apart = (tokens.n_sequences - tokens.manifest.held_out_sequences) * length;
  const text = [...kinds.keys()].filter((token) => kinds[token] === 0 && !excluded.includes(ids[token]!));
  return { training: text.filter((token) => token < apart), heldOut: text.filter((token) => token >= apart) };
}

const rowsAt = (hook: string, width: number, chosen: number[]) =>
  Float32Array.from(
    chosen.flatMap((token) => [...expected.get(hook)!.subarray(token * width, (token + 1) * width)]),
  );

const hashOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** Hash of every file of a capture, by name. */
async function filesOf(name: string): Promise<Map<string, string>> {
  const files = await readdir(at(name), { recursive: true, withFileTypes: true });
  const found = files.filter((file) => file.isFile());
  return new Map(
    await Promise.all(
      found.map(async (file) => {
        const location = path.join(file.parentPath, file.name);
        return [path.relative(at(name), location), hashOf(await readFile(location))] as const;
      }),
    ),
  );
}

describe("a captured set", () => {
  it("holds the text's rows of each hook point, the held-out ones apart, and says what they are", async () => {
    const manifests = await capture("plain");
    const { training, heldOut } = textTokens();
    for (const [index, hook] of hooks.entries()) {
      const width = index === 0 ? tiny.d_model : tiny.d_mlp;
      const set = await openActivationSet(at(`plain/${index}`));
      expect(set).toMatchObject({ n_rows: training.length, d_in: width });
      expect(set.held_out?.n_rows).toBe(heldOut.length);
      expect(await set.read(0, training.length)).toEqual(rowsAt(hook, width, training));
      expect(await set.held_out!.read(0, heldOut.length)).toEqual(rowsAt(hook, width, heldOut));
      for (const [start, count] of [
        [0, 1],
        [14, 3],
        [90, 30],
        [training.length - 1, 1],
        [7, 0],
      ] as const) {
        expect(await set.read(start, count)).toEqual(
          rowsAt(hook, width, training.slice(start, start + count)),
        );
      }
      expect(() => set.read(training.length, 1)).toThrow(RangeError);
      await set.close();
      const rows = rowsAt(hook, width, training);
      const norms = training.map((_, row) => Math.hypot(...rows.subarray(row * width, (row + 1) * width)));
      const manifest = manifests[index]!;
      expect(manifest).toMatchObject({
        hook_name: hook,
        n_tokens: training.length,
        held_out_tokens: heldOut.length,
        tokens_hash: tokens.manifest.hash,
      });
      expect(manifest.mean_norm).toBeCloseTo(norms.reduce((sum, norm) => sum + norm, 0) / training.length, 5);
      expect(manifest.mean[3]).toBeCloseTo(
        training.reduce((sum, _, row) => sum + rows[row * width + 3]!, 0) / training.length,
        5,
      );
      expect(manifest.shards.length).toBeGreaterThan(2);
    }
    const stored = new Uint32Array(new Uint8Array(await readFile(at("plain/0/ids.bin"))).buffer);
    expect(stored).toEqual(ids);
    const documents = new Uint32Array(new Uint8Array(await readFile(at("plain/0/documents.bin"))).buffer);
    const spans = await tokens.documentsOf(1);
    const own = Array.from({ length: documents.length / 5 }, (_, i) => [
      ...documents.subarray(5 * i, 5 * i + 5),
    ]);
    expect(own.filter(([sequence]) => sequence === 1)).toEqual(
      spans.map(({ document, first, last, offset }) => [1, document, first, last, offset]),
    );
  });

  it("leaves excluded tokens out by its mask, and holds halves where asked", async () => {
    const [manifest] = await capture("halves", { dtype: "float16", excluded_token_ids: [space] });
    const { training } = textTokens([space]);
    expect(manifest).toMatchObject({
      n_tokens: training.length,
      excluded_token_ids: [space],
      dtype: "float16",
    });
    const set = await openActivationSet(at("halves/0"));
    const rows = await set.read(0, training.length);
    await set.close();
    const whole = rowsAt(hooks[0]!, tiny.d_model, training);
    expect(
      rows.every((value, i) => Math.abs(value - whole[i]!) <= 2 ** -11 * Math.abs(whole[i]!) + 2 ** -24),
    ).toBe(true);
    expect(manifest!.shards[0]!.bytes).toBe(12 * length * tiny.d_model * 2);
  });

  it("is refused where nothing is left to train on", async () => {
    const all = Array.from({ length: 256 }, (_, byte) => byte);
    await expect(capture("nothing", { excluded_token_ids: all })).rejects.toThrow(
      /No token is left to train on/,
    );
    expect(await readdir(at("nothing"))).toEqual([]);
  });

  it("is refused when it is damaged", async () => {
    await capture("damaged");
    const file = at("damaged/0/rows-00001.bin");
    const bytes = await readFile(file);
    await writeFile(file, bytes.subarray(1));
    await expect(openActivationSet(at("damaged/0"))).rejects.toThrow(/damaged: rows-00001.bin has/);
    await writeFile(file, bytes);
    const mask = await readFile(at("damaged/0/mask.bin"));
    mask[1] = 1;
    await writeFile(at("damaged/0/mask.bin"), mask);
    await expect(openActivationSet(at("damaged/0"))).rejects.toThrow(/mask does not match/);
  });
});

describe("a capture that is cut", () => {
  it("at any point goes on to the very files of one that was not", async () => {
    await capture("whole", { save_every_ms: 0 });
    const whole = await filesOf("whole");
    const batches = Math.ceil(tokens.n_sequences / 4);
    const points = Array.from({ length: 10 }, (_, index) => 1 + Math.floor((index * (batches - 1)) / 10));
    for (const [index, point] of points.entries()) {
      const controller = new AbortController();
      let seen = 0;
      const name = `cut-${index}`;
      const cut = capture(name, {
        // Some states lag behind what was written, as they do at a crash.
        save_every_ms: index % 2 === 0 ? 0 : 30,
        signal: controller.signal,
        onProgress: () => {
          if (++seen === point) controller.abort(new Error("cut"));
        },
      });
      await expect(cut).rejects.toThrow("cut");
      let first: number | null = null;
      await capture(name, {
        onProgress: (progress) => {
          first ??= progress.tokens;
        },
      });
      if (index % 2 === 0) expect(first).toBe(Math.min(4 * (point + 1), tokens.n_sequences) * length);
      expect(await filesOf(name)).toEqual(whole);
    }
  });

  it("while its sets get their names, ends with all of them", async () => {
    const whole = await filesOf("whole");
    await capture("half");
    // As a crash leaves it after the last set but one.
    await mkdir(at("half-again"));
    await rename(at("half/1"), at("half-again/1"));
    await capture("half-again");
    expect(await filesOf("half-again")).toEqual(whole);
  });

  it("begins anew where its files are not what its state says", async () => {
    const whole = await filesOf("whole");
    const controller = new AbortController();
    const cut = capture("torn", {
      save_every_ms: 0,
      signal: controller.signal,
      onProgress: ({ tokens: done }) => {
        if (done >= 8 * length) controller.abort(new Error("cut"));
      },
    });
    await expect(cut).rejects.toThrow("cut");
    await rm(at("torn/1.capture/rows-00000.bin"));
    await capture("torn");
    expect(await filesOf("torn")).toEqual(whole);
    // What is there already is not captured again, and nothing else is written over it.
    const again = await capture("torn");
    expect(again).toHaveLength(2);
    await expect(capture("torn", { dtype: "float16" })).rejects.toThrow(/holds another set already/);
  });
});
