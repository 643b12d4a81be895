import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pcg4d } from "../../gpu/data/random.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { openActivationSet } from "../../server/artifacts/activation-set.ts";
import type { CapturedManifest } from "../../server/artifacts/captured-manifest.ts";
import { StorageError } from "../../server/artifacts/storage-error.ts";
import { type Capture, captureActivations } from "../../server/captures/capture.ts";
import { CaptureValueError } from "../../server/captures/capture-values.ts";
import { forecastCapture } from "../../server/captures/forecast.ts";
import { importDataset } from "../../server/datasets/import.ts";
import { InvalidInputError } from "../../server/errors.ts";
import { type ModelFolder, openModelFolder } from "../../server/models/model-folder.ts";
import { openTokenSet, type TokenSet } from "../../server/tokens/token-set.ts";
import { tokenizeDataset } from "../../server/tokens/tokenize.ts";
import { tiny, tinyTexts, writeTinyModel, writeTinyTexts } from "../integration/tiny-model.ts";
import { toHalf } from "../reference/half.ts";
import type { Config, HuggingFaceModel } from "../reference/lm/hugging-face.ts";
import { randomModel } from "../reference/lm/random-model.ts";
import { forward } from "../reference/lm/transformer.ts";
import type { CaptureChild } from "./capture-child.ts";
import { writeModelFolder } from "./model-folders.ts";

const hooks = ["blocks.1.hook_resid_post", "blocks.0.mlp.hook_post"];
const widths = [tiny.d_model, tiny.d_mlp];
const length = 16;
const space = 32;
const texts = tinyTexts(24);

let home: string;
let gpu: Gpu;
let model: ModelFolder;
let reference: HuggingFaceModel;
let tokens: TokenSet;
let ids: Uint32Array;
let kinds: Uint8Array;
beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-capture-job-"));
  gpu = await openGpu({ adapter: "software" });
  model = await openModelFolder(await writeTinyModel(at("model")));
  const config: Config = JSON.parse(await readFile(at("model/config.json"), "utf8"));
  reference = randomModel(config, 1);
  const signal = new AbortController().signal;
  const quiet = { signal, onProgress: () => undefined };
  const source = { kind: "path" as const, path: await writeTinyTexts(at("texts.jsonl"), texts.length) };
  await importDataset({ source, folder: at("dataset"), options: {}, hub: null, ...quiet });
  const options = { context_size: length, held_out: 0.1, remainder: "pad" as const };
  const subject = { dataset: at("dataset"), model: at("model"), folder: at("tokens"), options };
  await tokenizeDataset({ ...subject, ...quiet });
  tokens = await openTokenSet(at("tokens"));
  ids = await tokens.read(0, tokens.n_sequences);
  kinds = await tokens.kinds(0, tokens.n_sequences);
});
afterAll(async () => {
  await tokens.close();
  await model.close();
  gpu.close();
  await rm(home, { recursive: true, force: true });
});

const at = (name: string) => path.join(home, name);
const setsIn = (name: string) => hooks.map((hook) => ({ hook, folder: at(`${name}/${hook}`) }));
/** Two sequences of the widest hook point. */
const file_bytes = 2 * length * tiny.d_mlp * 2;

function jobOf(name: string, overrides: Partial<Capture> = {}): Capture {
  return {
    gpu,
    model,
    tokens,
    sets: setsIn(name),
    dtype: "float16",
    excluded_token_ids: [],
    batch_size: 4,
    model_name: "tiny",
    model_sha256: "0",
    dataset_name: "words",
    signal: new AbortController().signal,
    onProgress: () => undefined,
    file_bytes,
    ...overrides,
  };
}

async function capture(name: string, overrides: Partial<Capture> = {}): Promise<CapturedManifest[]> {
  return (await captureActivations(jobOf(name, overrides))).manifests;
}

async function filesOf(name: string): Promise<Record<string, string>> {
  const files = await readdir(at(name), { recursive: true, withFileTypes: true });
  const found = await Promise.all(
    files
      .filter((file) => file.isFile())
      .map(async (file) => {
        const location = path.join(file.parentPath, file.name);
        const hash = createHash("sha256")
          .update(await readFile(location))
          .digest("hex");
        return [path.relative(at(name), location), hash];
      }),
  );
  return Object.fromEntries(found.toSorted(([a], [b]) => (a! < b! ? -1 : 1))) as Record<string, string>;
}

/** Rows of a hook point by token, from the float64 reference. */
function referenceRows(hook: string): Float64Array {
  const sequences = Array.from({ length: tokens.n_sequences }, (_, n) => [
    ...ids.subarray(n * length, (n + 1) * length),
  ]);
  return forward(reference, sequences).hooks.get(hook)!.data;
}

describe("a capture", () => {
  it("keeps rows of the float64 reference, leaves outliers of any hook point out of all, and traces every row", async () => {
    const outlier_norm = 1.2;
    const manifests = await capture("whole", {
      dtype: "float32",
      outlier_norm,
      excluded_token_ids: [space],
      file_bytes: 2 * file_bytes,
    });
    const apart = (tokens.n_sequences - tokens.manifest.held_out_sequences) * length;
    const rows = hooks.map(referenceRows);
    const text = [...kinds.keys()].filter((token) => kinds[token] === 0 && ids[token] !== space);
    const norms = rows.map((data, hook) => (token: number) => {
      return Math.hypot(...data.subarray(token * widths[hook]!, (token + 1) * widths[hook]!));
    });
    const thresholds = norms.map((norm) => {
      const sorted = text
        .filter((token) => token < apart)
        .map(norm)
        .toSorted((a, b) => a - b);
      const middle = sorted.length / 2;
      return outlier_norm * ((sorted[Math.floor(middle)]! + sorted[Math.ceil(middle) - 1]!) / 2);
    });
    const outlying = (token: number) => norms.some((norm, hook) => norm(token) > thresholds[hook]!);
    const kept = text.filter((token) => !outlying(token));
    const training = kept.filter((token) => token < apart);
    const count = text.length - kept.length;
    expect(count).toBeGreaterThan(5);
    for (const [index, hook] of hooks.entries()) {
      const [width, manifest] = [widths[index]!, manifests[index]!];
      expect(manifest).toMatchObject({ hook_name: hook, n_tokens: training.length, outlier_norm });
      expect(manifest.mask_counts).toMatchObject({ text: kept.length, outlier: count });
      expect(manifest.outlier_threshold).toBeCloseTo(thresholds[index]!, 4);
      const set = await openActivationSet(at(`whole/${hook}`));
      expect([set.n_rows, set.held_out?.n_rows]).toEqual([training.length, kept.length - training.length]);
      const values = await set.read(0, set.n_rows);
      const sums = new Float64Array(width);
      for (const [row, token] of training.entries()) {
        for (let column = 0; column < width; column++) {
          const wanted = rows[index]![token * width + column]!;
          expect(Math.abs(values[row * width + column]! - wanted)).toBeLessThan(1e-4);
          sums[column]! += wanted / training.length;
        }
        const origin = (await set.trace(row))!;
        expect(origin).toMatchObject({
          sequence: Math.floor(token / length),
          position: token % length,
          token_id: ids[token],
        });
        // A token of this tokenizer is a byte of the text.
        expect(texts[origin.document]!.charCodeAt(origin.offset)).toBe(origin.token_id);
      }
      for (const [column, sum] of sums.entries()) expect(manifest.mean[column]).toBeCloseTo(sum, 4);
      await set.verify(new AbortController().signal);
      await set.close();
    }
  });

  it("rounds to the nearest halves, and takes just the bytes that were forecast", async () => {
    const forecast = await forecastCapture({ ...jobOf("halves"), hooks, folder: at("halves") });
    expect(forecast.tokens_per_second).toBeGreaterThan(0);
    expect(forecast.seconds).toBeCloseTo(forecast.tokens / forecast.tokens_per_second, 6);
    expect(existsSync(at("halves"))).toBe(false);
    const halves = await capture("halves");
    await capture("singles", { dtype: "float32" });
    for (const [index, hook] of hooks.entries()) {
      const own = forecast.sets[index]!;
      expect(own).toMatchObject({ hook, width: widths[index], bytes: halves[index]!.bytes });
      const names = (await readdir(at(`halves/${hook}`))).filter((name) => name !== "manifest.json");
      const sizes = names.map(async (name) => (await readFile(at(`halves/${hook}/${name}`))).length);
      expect((await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)).toBe(own.bytes);
      const [half, single] = [
        await openActivationSet(at(`halves/${hook}`)),
        await openActivationSet(at(`singles/${hook}`)),
      ];
      const wanted = (await single.read(0, single.n_rows)).map(toHalf);
      expect(await half.read(0, half.n_rows)).toEqual(wanted);
      await Promise.all([half.close(), single.close()]);
    }
    expect(forecast.bytes).toBe(halves.reduce((sum, { bytes }) => sum + bytes, 0));
  });

  it("is refused before anything is written where the disk lacks the room, and where the tokens do not fit", async () => {
    const spans = { ...tokens.manifest.spans, bytes: 2 ** 50 };
    const many = { ...tokens, manifest: { ...tokens.manifest, spans } };
    await expect(capture("full", { tokens: many })).rejects.toThrow(StorageError);
    expect(existsSync(at("full")) ? await readdir(at("full")) : []).toEqual([]);
    const long = { ...tokens, length: tiny.n_ctx + 1 };
    await expect(capture("long", { tokens: long })).rejects.toThrow(
      /33 tokens, but the model takes at most 32/,
    );
    await expect(
      capture("long", { sets: [{ hook: "blocks.9.hook_resid_post", folder: at("x") }] }),
    ).rejects.toThrow(InvalidInputError);
    expect(existsSync(at("long"))).toBe(false);
  });

  it("says at which token an activation is not finite, or too large for a half", async () => {
    const word = "b".charCodeAt(0);
    const token = ids.indexOf(word);
    const spoiled = async (name: string, factor: number) => {
      const key = "transformer.wte.weight";
      const { shape, data } = reference.tensors.get(key)!;
      const changed = data.map((x, i) => (Math.floor(i / tiny.d_model) === word ? x * factor : x));
      const tensors = new Map(reference.tensors).set(key, { shape, data: changed });
      await writeTinyModel(at(name));
      await writeModelFolder(at(name), { ...reference, tensors });
      return openModelFolder(at(name));
    };
    const place = { sequence: Math.floor(token / length), position: token % length };
    const first = [{ hook: "blocks.0.hook_resid_pre", folder: at("overflow") }];
    const infinite = await spoiled("infinite", 1e45);
    const failing = capture("not-finite", { model: infinite, dtype: "float32", sets: first });
    await expect(failing).rejects.toThrow(CaptureValueError);
    await expect(failing).rejects.toMatchObject({
      place,
      message: expect.stringMatching(/is (NaN|-?Infinity) at/),
    });
    // Behind attention it is in the sequence's other tokens as well.
    const behind = capture("not-finite", { model: infinite, dtype: "float32" });
    await expect(behind).rejects.toMatchObject({ place: { sequence: place.sequence } });
    await infinite.close();
    const large = await spoiled("large", 1e7);
    const overflowing = capture("overflow", { model: large, sets: first });
    await expect(overflowing).rejects.toMatchObject({ name: "ActivationSetError", place });
    await expect(overflowing).rejects.toThrow(/float16 ends at 65504\. Capture it as float32\./);
    await large.close();
    // Nothing is left that would be in the way of what the message advises.
    expect(await readdir(at("overflow")).catch(() => [])).toEqual([]);
    expect(await readdir(home)).not.toContain("overflow.capture");
  });
});

describe("a capture that was cut", () => {
  const cut = async (name: string, overrides: Partial<Capture> = {}) => {
    const controller = new AbortController();
    const cutting = capture(name, {
      save_every_ms: 0,
      signal: controller.signal,
      onProgress: ({ tokens: done }) => {
        if (done >= 10 * length) controller.abort(new Error("cut"));
      },
      ...overrides,
    });
    await expect(cutting).rejects.toThrow("cut");
  };

  it("is no beginning of another: the difference is named, and nothing is touched", async () => {
    await cut("other");
    const before = await filesOf("other");
    const asked = (overrides: Partial<Capture>) => capture("other", overrides);
    await expect(asked({ dtype: "float32" })).rejects.toThrow('its dtype is "float16", not "float32"');
    await expect(asked({ model_sha256: "1" })).rejects.toThrow('its model_sha256 is "0", not "1"');
    await expect(asked({ outlier_norm: 10 })).rejects.toThrow("its outlier_norm is null, not 10");
    await expect(asked({ sets: setsIn("other").slice(0, 1) })).rejects.toThrow(/its hooks is .*, not /);
    await expect(asked({ sets: setsIn("other").slice(1) })).rejects.toThrow(/its hooks is .*, not /);
    expect(await filesOf("other")).toEqual(before);
    // In another order it is the same.
    await asked({ sets: setsIn("other").toReversed() });
    await capture("undisturbed");
    expect(await filesOf("other")).toEqual(await filesOf("undisturbed"));
  });

  it("finds a byte that is not as it was written, and captures all again", async () => {
    const wanted = await filesOf("undisturbed");
    for (const name of ["rows-00000.bin", "rows-00005.bin", "mask.bin"]) {
      await cut("damaged");
      const file = at(`damaged/${hooks[0]}.capture/${name}`);
      const damaged = await readFile(file);
      damaged[7]! ^= 1;
      await writeFile(file, damaged);
      let first: number | null = null;
      await capture("damaged", {
        onProgress: ({ tokens: done }) => {
          first ??= done;
        },
      });
      expect(first).toBe(4 * length);
      expect(await filesOf("damaged")).toEqual(wanted);
      await rm(at("damaged"), { recursive: true });
    }
  });

  it("by SIGKILL at ten random points goes on each time, to the files of one that was not", async () => {
    const task = (name: string, kill: CaptureChild["kill"]): CaptureChild => {
      return { model: at("model"), tokens: at("tokens"), sets: setsIn(name), file_bytes, kill };
    };
    const seed = Date.now() % 2 ** 31;
    console.log(`Killed at points of the seed ${seed}.`);
    const total = tokens.n_sequences * length;
    const words = Uint32Array.of(0, 0, 0, 0);
    const points = Array.from({ length: 10 }, (_, index) => {
      pcg4d(words, index, 0, 0, seed);
      return { tokens: Math.floor((words[0]! / 2 ** 32) * total), delay_ms: words[1]! % 12 };
    }).toSorted((a, b) => a.tokens - b.tokens);
    // Two at a time, each of which is killed five times.
    const names = ["child-0", "child-1"];
    const killed = await Promise.all(
      names.map(async (name, chain) => {
        let count = 0;
        for (const point of points.filter((_, index) => index % 2 === chain)) {
          const { signal, code } = await run(task(name, point));
          if (signal === "SIGKILL") count++;
          else expect(code).toBe(0);
        }
        return count;
      }),
    );
    expect(killed[0]! + killed[1]!).toBeGreaterThan(5);
    const options = { excluded_token_ids: [space], outlier_norm: 1.1, batch_size: 2 };
    await capture("child-whole", options);
    const wanted = await filesOf("child-whole");
    for (const name of names) {
      await capture(name, options);
      expect(await filesOf(name)).toEqual(wanted);
    }
  }, 120_000);
});

function run(task: CaptureChild): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  const program = path.resolve(import.meta.dirname, "capture-child.ts");
  const child = spawn(process.execPath, ["--import", "tsx", program, JSON.stringify(task)], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  return new Promise((resolve) => child.once("close", (code, signal) => resolve({ code, signal })));
}
