import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { readbackSliceBytes } from "../../gpu/device/readback.ts";
import { describeModel } from "../../gpu/lm/families/index.ts";
import { hookPoints, UnknownHookError } from "../../gpu/lm/hook-points.ts";
import { NonFiniteModelError } from "../../gpu/lm/language-model.ts";
import { SpliceError } from "../../gpu/lm/splice-plan.ts";
import {
  type EvaluateInModelOptions,
  evaluateInModel,
  inModelBytes,
} from "../../gpu/metrics/evaluate-in-model.ts";
import { FiringTotals } from "../../gpu/metrics/firing.ts";
import { ReconstructionTotals } from "../../gpu/metrics/reconstruction.ts";
import type { Sae, SaeConfig } from "../../gpu/sae/sae.ts";
import { randomModel } from "../reference/lm/random-model.ts";
import { type SplicedReference, splicedReference } from "../reference/lm/splice.ts";
import { type Variant, variants } from "../reference/lm/variants.ts";
import { randomSae, saeConfig } from "../reference/random-sae.ts";
import { asHardware, withCapabilities } from "./kernel-bench.ts";
import { weightsOf } from "./lm-models.ts";
import { packedTokens } from "./lm-tokens.ts";

const length = 13;
const n_sequences = 4;

let gpu: Gpu;
let used: number;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
  used = gpu.ledger.used;
});
afterAll(() => {
  expect(gpu.uncapturedError()).toBeNull();
  expect(gpu.ledger.used).toBe(used);
  gpu.close();
});

function variant(name: string): Variant {
  return variants().find((one) => one.name === name)!;
}

function evaluate(
  model: Variant,
  given: Pick<EvaluateInModelOptions, "hook" | "sae"> & Partial<EvaluateInModelOptions>,
) {
  const { tokens } = packedTokens(model.config, n_sequences, length);
  return evaluateInModel({
    gpu,
    spec: describeModel(model.config),
    weights: weightsOf(model),
    tokens,
    first_sequence: 0,
    n_sequences,
    sequences_together: 3,
    ...given,
  });
}

function reference(model: Variant, hook: string, sae: Sae, hook_out = hook): SplicedReference {
  const { ids, kinds } = packedTokens(model.config, n_sequences, length);
  return splicedReference(model, ids, kinds, { hook, hook_out, sae });
}

const widthOf = (model: Variant, hook: string) =>
  hookPoints(describeModel(model.config)).find(({ name }) => name === hook)!.width;

/** x̂ = x to the bit: each feature passes one column on, positive or negative. */
function identitySae(d: number): Sae {
  const config = saeConfig({ d_in: d, d_sae: 2 * d });
  const [W_enc, W_dec] = [new Float32Array(2 * d * d), new Float32Array(2 * d * d)];
  for (let c = 0; c < d; c++) {
    W_enc[c * 2 * d + c] = 1;
    W_enc[c * 2 * d + d + c] = -1;
    W_dec[c * d + c] = 1;
    W_dec[(d + c) * d + c] = -1;
  }
  return {
    config,
    tensors: {
      W_enc: { shape: [d, 2 * d], data: W_enc },
      b_enc: { shape: [2 * d], data: new Float32Array(2 * d) },
      W_dec: { shape: [2 * d, d], data: W_dec },
      b_dec: { shape: [d], data: new Float32Array(d) },
    },
  };
}

function zeroSae(d: number): Sae {
  const sae = identitySae(d);
  sae.tensors.W_dec!.data.fill(0);
  return sae;
}

/** Weights that leave activations of order 1. */
function smallSae(given: Partial<SaeConfig>, seed = 1): Sae {
  const sae = randomSae(given, seed);
  const scale = (name: string, width: number) => {
    const data = sae.tensors[name]?.data as Float32Array | undefined;
    data?.forEach((value, i) => {
      data[i] = value / Math.sqrt(width);
    });
  };
  scale("W_enc", sae.config.d_in);
  scale("W_dec", 4);
  scale("W_skip", sae.config.d_in);
  return sae;
}

function expectLosses(result: Awaited<ReturnType<typeof evaluate>>, expected: SplicedReference): void {
  const { ce, kl } = expected;
  expect(result.n_predictions).toBe(expected.n_predictions);
  const found = {
    ...{ clean: result.ce_clean, spliced: result.ce_spliced, zero: result.ce_zero, mean: result.ce_mean },
    ...{ kl: result.kl, kl_zero: result.kl_zero, kl_mean: result.kl_mean },
  };
  const wanted = { ...ce, kl: kl.spliced, kl_zero: kl.zero, kl_mean: kl.mean };
  for (const [name, value] of Object.entries(wanted)) {
    expect(Math.abs(found[name as keyof typeof found] - value), name).toBeLessThan(2e-5);
  }
  expect(result.delta_ce).toBeCloseTo(ce.spliced - ce.clean, 4);
  expectRatio(result.loss_recovered, ce.zero - ce.spliced, ce.zero - ce.clean);
  expectRatio(result.loss_recovered_mean, ce.mean - ce.spliced, ce.mean - ce.clean);
  expectRatio(result.kl_recovered, kl.zero - kl.spliced, kl.zero);
}

/** What is off by 4e-5 above and below the line. */
function expectRatio(found: number | null, above: number, below: number): void {
  const off = (4e-5 * (1 + Math.abs(above / below))) / Math.abs(below);
  expect(Math.abs(found! - above / below)).toBeLessThan(off);
}

const cases = [
  {
    name: "gpt2",
    hooks: [
      "hook_embed",
      "blocks.0.hook_resid_pre",
      "blocks.0.attn.hook_z",
      "blocks.0.hook_attn_out",
      "blocks.0.hook_resid_mid",
      "blocks.1.hook_mlp_in",
      "blocks.0.mlp.hook_post",
      "blocks.1.hook_mlp_out",
      "blocks.1.hook_resid_post",
    ],
  },
  {
    name: "gpt_neox parallel",
    hooks: [
      "blocks.1.hook_resid_pre",
      "blocks.0.attn.hook_z",
      "blocks.0.hook_attn_out",
      "blocks.0.hook_mlp_in",
      "blocks.1.hook_mlp_out",
    ],
  },
  {
    name: "llama, 3 heads on 1",
    hooks: ["blocks.0.attn.hook_z", "blocks.0.mlp.hook_post", "blocks.1.hook_resid_post"],
  },
  { name: "gemma2", hooks: ["hook_embed", "blocks.0.hook_attn_out", "blocks.2.hook_resid_mid"] },
  { name: "phi", hooks: ["blocks.0.hook_resid_pre", "blocks.0.hook_attn_out", "blocks.0.mlp.hook_post"] },
].map(({ name, hooks }) => ({ name, hooks, model: variant(name) }));

describe.each(cases)("$name", ({ model, hooks }) => {
  test.each(hooks)("at %s an SAE costs what the float64 reference says", async (hook) => {
    const sae = smallSae({ d_in: widthOf(model, hook), d_sae: 23 });
    const expected = reference(model, hook, sae);
    expect(Math.abs(expected.ce.spliced - expected.ce.clean)).toBeGreaterThan(1e-3);
    expectLosses(await evaluate(model, { hook, sae }), expected);
  });

  test.each(hooks)(
    "at %s the identity costs nothing to the bit, and an SAE of zeros what zeros do",
    async (hook) => {
      const d = widthOf(model, hook);
      const identity = await evaluate(model, { hook, sae: identitySae(d) });
      expect(identity.ce_spliced).toBe(identity.ce_clean);
      expect(identity.kl).toBe(0);
      expect(identity.loss_recovered).toBe(1);
      expect(identity.fvu).toBe(0);
      const zero = await evaluate(model, { hook, sae: zeroSae(d) });
      expect(zero.ce_spliced).toBe(zero.ce_zero);
      expect(zero.kl).toBe(zero.kl_zero);
      expect(zero.loss_recovered).toBe(0);
      expect(zero.ce_zero).not.toBe(zero.ce_clean);
    },
  );
});

const saes: [string, Partial<SaeConfig>][] = [
  ["relu", {}],
  ["relu that reads the input as it is", { apply_b_dec_to_input: false }],
  ["jumprelu", { activation: "jumprelu" }],
  ["gated", { activation: "gated" }],
  ["topk", { activation: "topk", k: 5 }],
  ["topk by decoder norm", { activation: "topk", k: 5, rescale_acts_by_decoder_norm: true }],
  ["relu with layer norm", { normalize_activations: "layer_norm" }],
  ["topk with constant norm", { activation: "topk", k: 4, normalize_activations: "constant_norm_rescale" }],
];

describe("an SAE", () => {
  const model = variant("gpt2");
  const hook = "blocks.1.hook_resid_pre";

  test.each(saes)("of %s reconstructs and fires as in float64", async (_, given) => {
    const sae = smallSae({ d_in: 18, d_sae: 41, ...given }, 5);
    if (given.activation === "jumprelu") sae.tensors.threshold!.data.fill(-0.2, 0, 9);
    const expected = reference(model, hook, sae);
    const rows = expected.x.length / 18;
    const mean = new Float64Array(18);
    expected.x.forEach((value, i) => {
      mean[i % 18]! += value / rows;
    });
    const totals = new ReconstructionTotals(mean);
    totals.add(expected.x, expected.reconstruction);
    const firing = new FiringTotals(41);
    firing.add(expected.features);
    // Chunks of the SAE that end within a pass.
    const result = await evaluate(model, { hook, sae, tokens_together: 7 });
    expectLosses(result, expected);
    const { mse, fvu, explained_variance, normalized_mse, cossim, l2_ratio } = totals.result();
    const wanted = { mse, fvu, explained_variance, normalized_mse, cossim, l2_ratio };
    for (const [name, value] of Object.entries(wanted)) {
      expect(Math.abs(result[name as keyof typeof wanted]! / value! - 1), name).toBeLessThan(1e-4);
    }
    expect(result.n_tokens).toBe(rows);
    expect(result.l0).toBeCloseTo(firing.result().l0, 6);
    expect(result.dead_features).toBe(firing.result().dead_features);
    expect([...result.feature_frequency]).toEqual([...firing.densities()]);
    const binned = result.density_histogram.counts.reduce((sum, count) => sum + count, 0);
    expect(binned + result.density_histogram.silent).toBe(41);
  });

  test("gives the same whatever goes through it at once", async () => {
    const sae = smallSae({ d_in: 18, d_sae: 41 });
    const whole = await evaluate(model, { hook, sae, sequences_together: 4 });
    const pieces = await evaluate(model, { hook, sae, sequences_together: 1, tokens_together: 3 });
    for (const [name, value] of Object.entries(whole)) {
      if (typeof value === "number") expect(pieces[name as keyof typeof whole], name).toBeCloseTo(value, 5);
    }
    expect(pieces.feature_frequency).toEqual(whole.feature_frequency);
  });

  test("costs what the reference says where small bindings cut the vocabulary into pieces", async () => {
    const config = { ...variant("gpt2").config, vocab_size: 301 };
    const large = { name: "gpt2", ...randomModel(config, 5) };
    const sae = smallSae({ d_in: 18, d_sae: 20 });
    // As large as the largest other weight.
    const limits = { ...gpu.capabilities.limits, max_storage_buffer_binding_size: 4 * 20 * 72 };
    const small = withCapabilities(gpu, { limits });
    const result = await evaluate(large, { gpu: small, hook, sae, sequences_together: 1 });
    expectLosses(result, reference(large, hook, sae));
  });

  test("costs what the reference says by the kernels that hardware gets", async () => {
    const hardware = withCapabilities(asHardware(gpu), { subgroup_min_size: 0 });
    const sae = smallSae({ d_in: 18, d_sae: 70, activation: "topk", k: 7 });
    expectLosses(await evaluate(model, { gpu: hardware, hook, sae }), reference(model, hook, sae));
    const identity = await evaluate(model, { gpu: hardware, hook, sae: identitySae(18) });
    expect(identity.ce_spliced).toBe(identity.ce_clean);
    expect(identity.kl).toBe(0);
  });

  test("is compared with a mean that is given, in one stage", async () => {
    const sae = smallSae({ d_in: 18 });
    const stages: string[] = [];
    const zero = await evaluate(model, {
      hook,
      sae,
      mean: new Float32Array(18),
      onProgress: ({ stage, sequences }) => stages.push(`${stage} ${sequences}/${n_sequences}`),
    });
    expect(zero.ce_mean).toBe(zero.ce_zero);
    expect(stages).toEqual(["losses 3/4", "losses 4/4"]);
  });
});

describe("a transcoder", () => {
  const transcoder = (d: number, given: Partial<SaeConfig> = {}) =>
    smallSae({ d_in: d, d_out: d, d_sae: 29, transcoder: true, apply_b_dec_to_input: false, ...given }, 3);

  test.each([
    ["gpt2", "blocks.1.hook_mlp_in", "blocks.1.hook_mlp_out", {}],
    ["gpt2", "blocks.0.ln2.hook_normalized", "blocks.0.hook_mlp_out", { skip: true }],
    [
      "gpt_neox parallel",
      "blocks.0.ln2.hook_normalized",
      "blocks.0.hook_mlp_out",
      { activation: "topk", k: 6 },
    ],
    ["gemma2", "blocks.0.hook_resid_mid", "blocks.2.hook_resid_post", {}],
  ] as const)("of %s from %s replaces %s", async (name, hook, hook_out, given) => {
    const model = variant(name);
    const sae = transcoder(widthOf(model, hook), given);
    expectLosses(await evaluate(model, { hook, hook_out, sae }), reference(model, hook, sae, hook_out));
  });

  test("may have another width behind it, as from the MLP's input to its hidden layer", async () => {
    const model = variant("gpt2");
    const hook = "blocks.0.ln2.hook_normalized";
    const hook_out = "blocks.0.mlp.hook_post";
    const sae = transcoder(18, { d_out: 72 });
    expectLosses(await evaluate(model, { hook, hook_out, sae }), reference(model, hook, sae, hook_out));
  });

  test("must say what it replaces, and that must come later", async () => {
    const model = variant("gpt2");
    const sae = transcoder(18);
    await expect(evaluate(model, { hook: "blocks.0.hook_mlp_in", sae })).rejects.toThrow(SpliceError);
    const backwards = { hook: "blocks.1.hook_mlp_out", hook_out: "blocks.1.hook_mlp_in" };
    await expect(evaluate(model, { ...backwards, sae })).rejects.toThrow(/before/);
  });
});

describe("refused", () => {
  const model = variant("gpt2");
  const sae = smallSae({ d_in: 18 });
  const hook = "blocks.1.hook_resid_pre";

  test.each([
    ["a normalised hook point", { hook: "blocks.0.ln1.hook_normalized" }, SpliceError],
    ["a hook point that is not there", { hook: "blocks.7.hook_resid_pre" }, UnknownHookError],
    ["an SAE of another width", { sae: smallSae({ d_in: 6 }) }, RangeError],
    ["a crosscoder", { sae: smallSae({ d_in: 18, n_hook_points: 2 }) }, RangeError],
    ["an SAE with faults", { sae: { ...sae, tensors: {} } }, RangeError],
    ["sequences that are not there", { first_sequence: 1 }, RangeError],
    ["no sequences", { n_sequences: 0 }, RangeError],
    ["a mean of another width", { mean: new Float32Array(6) }, RangeError],
    ["a pass of no sequence", { sequences_together: 0 }, RangeError],
    ["no token at once", { tokens_together: 0 }, RangeError],
  ] as [string, Partial<EvaluateInModelOptions>, new (message: never) => Error][])(
    "is %s",
    async (_, given, error) => {
      await expect(evaluate(model, { hook, sae, ...given })).rejects.toThrow(error);
      expect(gpu.ledger.used).toBe(used);
    },
  );

  test("is the MLP's input where it reads what attention reads", async () => {
    const phi = variant("phi");
    await expect(
      evaluate(phi, { hook: "blocks.0.hook_mlp_in", sae: smallSae({ d_in: 30 }) }),
    ).rejects.toThrow(SpliceError);
  });

  test("are sequences without text", async () => {
    const { tokens } = packedTokens(model.config, n_sequences, length);
    const silent = { ...tokens, kinds: async (_: number, n: number) => new Uint8Array(n * length).fill(2) };
    await expect(evaluate(model, { hook, sae, tokens: silent })).rejects.toThrow(/no text/);
  });

  test("is a reconstruction too large for the model", async () => {
    const huge = zeroSae(18);
    huge.tensors.b_dec!.data.fill(3e38);
    huge.config.apply_b_dec_to_input = false;
    await expect(evaluate(model, { hook, sae: huge })).rejects.toThrow(NonFiniteModelError);
  });

  test.each([
    ["an SAE", { hook, sae, precision: "int8" }],
    [
      "a transcoder",
      {
        hook: "blocks.0.hook_mlp_in",
        hook_out: "blocks.0.hook_mlp_out",
        sae: smallSae({ d_in: 18, d_out: 18, transcoder: true, apply_b_dec_to_input: false }),
      },
    ],
  ] as const)("is work with %s that was aborted: it gives back what was planned for it", async (_, given) => {
    const abort = new AbortController();
    const reason = new Error("enough");
    let held = 0;
    const onProgress = () => {
      held = gpu.ledger.used - used;
      abort.abort(reason);
    };
    const aborted = { ...given, sequences_together: n_sequences, signal: abort.signal, onProgress };
    await expect(evaluate(model, aborted)).rejects.toBe(reason);
    const sizes = { spec: describeModel(model.config), length, n_sequences };
    expect(held + readbackSliceBytes).toBe(inModelBytes({ ...given, ...sizes, config: given.sae.config }));
    expect(gpu.ledger.used).toBe(used);
  });
});
