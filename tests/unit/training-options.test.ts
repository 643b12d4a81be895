import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { nearest } from "../../server/headless/nearest.ts";
import { parseValue } from "../../server/headless/option-values.ts";
import { sweepVariants } from "../../server/headless/sweep.ts";
import { trainRequest } from "../../server/headless/train-request.ts";
import { type GivenWidths, readConfigFile, trainingConfig } from "../../server/headless/training-options.ts";

const one = (width: number): GivenWidths => ({ inputs: [width], target: null });

/** Faults as `path: message`. */
function faults(given: Record<string, unknown>, widths: GivenWidths | null = one(16)): string[] {
  return trainingConfig(given, widths).faults.map(({ path: at, message }) => `${at}: ${message}`);
}

describe("names", () => {
  it.each([
    ["d-sae", "d_sae"],
    ["lrr", "lr"],
    ["train_batch_size", "train_batch_size_tokens"],
    ["training_token", "training_tokens"],
    ["batch_size", "train_batch_size_tokens"],
    ["expansion_factor", null],
    ["q", null],
  ])("near %s is %s", (written, meant) => {
    const names = ["d_sae", "lr", "train_batch_size_tokens", "training_tokens", "seed"];
    expect(nearest(written, names)).toBe(meant);
  });

  it("near nothing is nothing", () => expect(nearest("k", [])).toBeNull());
});

describe("values", () => {
  it.each([
    ["16", 16],
    ["3e-4", 3e-4],
    ["true", true],
    ["null", null],
    ["[8, 16]", [8, 16]],
    ["[8", "[8"],
    ["topk", "topk"],
    ["", ""],
  ])("%s", (text, value) => expect(parseValue(text)).toEqual(value));
});

describe("a configuration", () => {
  it("takes its widths from the activations", () => {
    expect(trainingConfig({ d_sae: 64, k: 4 }, one(16)).config).toMatchObject({ d_in: 16, d_out: null });
    const transcoder = { architecture: "transcoder", d_sae: 64, k: 4, d_out: null };
    expect(trainingConfig(transcoder, { inputs: [16], target: 24 }).config).toMatchObject({
      d_in: 16,
      d_out: 24,
      apply_b_dec_to_input: false,
    });
    const crosscoder = { architecture: "crosscoder", d_sae: 64 };
    expect(trainingConfig(crosscoder, { inputs: [16, 16, 16], target: null }).config).toMatchObject({
      d_in: 16,
      n_hook_points: 3,
    });
  });

  it("names every fault at once", () => {
    expect(faults({ d_sae: 0, k: "many", lrr: 1, d_in: 8, precision: "f8" })).toEqual([
      "lrr: There is no option lrr; did you mean lr?",
      "d_in: d_in is 8, but the activations have width 16. Leave d_in out to take it from them.",
      expect.stringContaining("d_sae: d_sae must be at least 1"),
      "precision: Precision must be “f32” or “f16”; it is “f8”.",
      "k: k must be a number; it is “many”.",
    ]);
  });

  it("names contradictions between options", () => {
    expect(faults({ d_sae: 8, k: 16, training_tokens: 10, l1_coefficient: 3 })).toEqual([
      expect.stringContaining("l1_coefficient: l1_coefficient is 3, but it has no effect here (topk)"),
      expect.stringContaining("k: k is 16, but the dictionary has only 8 features."),
      expect.stringContaining("training_tokens: 10 training tokens do not fill one batch of 4096."),
    ]);
  });

  it("names contradictions with the activations", () => {
    const base = { d_sae: 64, k: 4 };
    expect(faults(base, { inputs: [16, 16], target: null })).toEqual([
      "activations: 2 hook points are given as activations, but topk reads one; a crosscoder reads several.",
    ]);
    expect(faults(base, { inputs: [16], target: 16 })).toEqual([
      "targets: Targets are given, but topk reconstructs its own input; a transcoder or skip_transcoder has targets.",
    ]);
    expect(faults({ ...base, architecture: "skip_transcoder" })).toEqual([
      "targets: A skip_transcoder predicts another hook point, whose activations are not given; name them with --targets, or with --target-hook where --hooks names those that it reads.",
    ]);
    expect(faults({ ...base, architecture: "transcoder", d_out: 3 }, { inputs: [16], target: 24 })).toEqual([
      "d_out: d_out is 3, but the targets have width 24. Leave d_out out to take it from them.",
    ]);
    const crosscoder = { architecture: "crosscoder", d_sae: 64, n_hook_points: 3 };
    expect(faults(crosscoder, { inputs: [16, 24], target: null })).toEqual([
      "activations: A crosscoder's hook points have one width, but these have widths 16, 24.",
      "n_hook_points: n_hook_points is 3, but activations are given of 2 hook points. Leave n_hook_points out to take it from them.",
    ]);
  });

  it("says nothing of widths while the activations cannot be read", () => {
    expect(faults({ d_sae: 64, k: 4, architecture: "transcoder" }, null)).toEqual([]);
    expect(faults({ d_sae: 64, k: 0 }, null)).toEqual(["k: k must be more than 0; it is 0."]);
  });
});

describe("a configuration's file", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "facet-config-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it("is a JSON object", async () => {
    const file = path.join(folder, "cfg.json");
    await writeFile(file, '{"k": 3}');
    expect(await readConfigFile(file)).toEqual({ options: { k: 3 }, faults: [] });
    for (const [text, message] of [
      ["[1]", "A configuration is a JSON object of options."],
      ["{", expect.stringContaining("This is not JSON: ")],
    ] as const) {
      await writeFile(file, text);
      expect((await readConfigFile(file)).faults).toEqual([{ path: file, message }]);
    }
    expect((await readConfigFile(path.join(folder, "none"))).faults).toHaveLength(1);
  });
});

describe("a sweep", () => {
  it("is every combination, with labels that say which", () => {
    const { variants, faults: found } = sweepVariants(["k=8,16", "seed=1,2"]);
    expect(found).toEqual([]);
    expect(variants).toEqual([
      { label: "k=8,seed=1", options: { k: 8, seed: 1 } },
      { label: "k=8,seed=2", options: { k: 8, seed: 2 } },
      { label: "k=16,seed=1", options: { k: 16, seed: 1 } },
      { label: "k=16,seed=2", options: { k: 16, seed: 2 } },
    ]);
    expect(sweepVariants([]).variants).toEqual([{ label: "", options: {} }]);
  });

  it.each([
    ["k", "A sweep is an option and its values"],
    ["k=1,,2", "A sweep is an option and its values"],
    ["kk=1,2", "There is no option kk"],
    ["train_batch_size_tokens=1,2", "train_batch_size_tokens cannot be swept"],
    ["k=1,1", "k=1,1 names a value twice"],
  ])("cannot be %s", (given, message) => {
    expect(sweepVariants([given]).faults).toEqual([
      { path: "sweep", message: expect.stringContaining(message) },
    ]);
  });

  it("has bounds", () => {
    const values = Array.from({ length: 20 }, (_, at) => at + 1).join(",");
    expect(sweepVariants([`k=${values}`, `seed=${values}`]).faults).toEqual([
      { path: "sweep", message: "The sweep is of 400 SAEs; 256 is the most." },
    ]);
    expect(sweepVariants(["k=1,2", "k=3"]).faults[0]?.message).toContain("k is swept twice");
  });
});

describe("a command line of train", () => {
  it("is taken apart", () => {
    const { request, faults: found } = trainRequest(
      new Map([
        ["activations", ["a", "b"]],
        ["k", ["16"]],
        ["no-shuffle", [""]],
        ["out", ["o"]],
        ["json", [""]],
      ]),
    );
    expect(found).toEqual([]);
    expect(request).toMatchObject({
      overrides: { k: 16 },
      data: { activations: ["a", "b"], targets: null },
      shuffle: false,
      out: "o",
      resume: null,
    });
  });

  it("names what there is no option for, and what is given too often", () => {
    const { faults: found } = trainRequest(
      new Map([
        ["activation", ["a"]],
        ["k", ["1", "2"]],
      ]),
    );
    expect(found).toEqual([
      { path: "--activation", message: "There is no option activation; did you mean activations?" },
      { path: "--k", message: "It is given 2 times, but takes one value." },
    ]);
  });
});
