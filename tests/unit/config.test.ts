import { describe, expect, test } from "vitest";
import { architectures, baseArchitectures, sourceWidth, widthsOf } from "../../gpu/sae/architecture.ts";
import {
  architectureDescriptions,
  type OptionName,
  type TrainingConfigInput,
  totalSteps,
  trainingConfigOptions,
  trainingConfigSchema,
} from "../../gpu/sae/config.ts";
import { configFaults, optionApplies } from "../../gpu/sae/config-faults.ts";

type Input = Partial<TrainingConfigInput>;
const config = (overrides: Input) => trainingConfigSchema.parse({ d_in: 16, d_sae: 64, ...overrides });
const faults = (overrides: Input) => configFaults(config(overrides));

describe("defaults", () => {
  test("an architecture's own stand above the schema's", () => {
    expect(config({})).toMatchObject({
      architecture: "topk",
      decoder_norm: "unit",
      apply_b_dec_to_input: true,
    });
    expect(config({ architecture: "standard" })).toMatchObject({
      decoder_norm: "free",
      l1_coefficient: null,
    });
    expect(config({ architecture: "gated" })).toMatchObject({ decoder_norm: "unit", l1_coefficient: null });
    expect(config({ architecture: "jumprelu" })).toMatchObject({
      decoder_norm: "free",
      pre_act_loss_coefficient: 3e-6,
    });
  });

  test("a transcoder or crosscoder takes its base's, and above them its own", () => {
    expect(config({ architecture: "transcoder" })).toMatchObject({
      base_architecture: "topk",
      decoder_norm: "unit",
      apply_b_dec_to_input: false,
    });
    expect(config({ architecture: "skip_transcoder", base_architecture: "standard" })).toMatchObject({
      decoder_norm: "free",
      l1_coefficient: null,
      apply_b_dec_to_input: false,
    });
    expect(config({ architecture: "crosscoder" })).toMatchObject({
      base_architecture: "standard",
      decoder_norm: "free",
      l1_coefficient: 2,
      apply_b_dec_to_input: false,
    });
    expect(config({ architecture: "crosscoder", base_architecture: "jumprelu" })).toMatchObject({
      base_architecture: "jumprelu",
      pre_act_loss_coefficient: 3e-6,
    });
  });

  test("what is given stands above all, and undefined is not given", () => {
    expect(config({ architecture: "standard", l1_coefficient: 0.3 }).l1_coefficient).toBe(0.3);
    const left = { d_in: 16, d_sae: 64, architecture: "crosscoder", l1_coefficient: undefined };
    expect(trainingConfigSchema.parse(left).l1_coefficient).toBe(2);
  });

  test("are consistent for every architecture over every base, and a whole configuration parses to itself", () => {
    for (const architecture of architectures) {
      for (const base_architecture of baseArchitectures) {
        const ofBase = baseArchitectures.some((one) => one === architecture) ? {} : { base_architecture };
        const n_hook_points = architecture === "crosscoder" ? 2 : 1;
        const whole = config({ architecture, n_hook_points, ...ofBase });
        expect(configFaults(whole), `${architecture} over ${base_architecture}`).toEqual([]);
        expect(trainingConfigSchema.parse(whole)).toEqual(whole);
      }
    }
  });

  test("every architecture is described, and names only options that there are", () => {
    expect(Object.keys(architectureDescriptions)).toEqual([...architectures]);
    for (const { defaults } of Object.values(architectureDescriptions)) {
      for (const name of Object.keys(defaults)) expect(trainingConfigOptions.shape).toHaveProperty(name);
    }
  });

  test("every option has its words", () => {
    for (const [name, type] of Object.entries(trainingConfigOptions.shape)) {
      expect(type.meta(), name).toMatchObject({
        label: expect.stringMatching(/./),
        help: expect.stringMatching(/\.$/),
        group: expect.stringMatching(/./),
      });
    }
  });
});

describe("what is no configuration", () => {
  const issue = (input: unknown) => {
    const { error } = trainingConfigSchema.safeParse(input);
    return error?.issues.map(({ code, path, message }) => `${code} ${path.join(".")} ${message}`).join("\n");
  };

  test("an unknown option is named", () => {
    expect(issue({ d_in: 16, d_sae: 64, l1_coeff: 1 })).toMatch(/unrecognized_keys.*l1_coeff/);
  });

  test("nor one of another type, out of bounds, or without its widths", () => {
    expect(issue({ d_in: 16, d_sae: 64, k: "8" })).toMatch(/invalid_type k/);
    expect(issue({ d_in: 16, d_sae: 64, lr: 0 })).toMatch(/too_small lr/);
    expect(issue({ d_in: 16, d_sae: 64, architecture: "top-k" })).toMatch(/invalid_value architecture/);
    expect(issue({ d_in: 16, d_sae: 64, base_architecture: "transcoder" })).toMatch(
      /invalid_value base_architecture/,
    );
    expect(issue({ d_in: 16 })).toMatch(/d_sae/);
    for (const input of [null, 3, "topk", []]) expect(issue(input)).toMatch(/invalid_type/);
  });
});

describe("options without effect are named", () => {
  const standard = { architecture: "standard" } as const;
  const free = { decoder_norm: "free" } as const;
  const cases: [OptionName, Input][] = [
    ["d_out", { d_out: 8 }],
    ["n_hook_points", { n_hook_points: 3 }],
    ["decoder_init_norm", { decoder_init_norm: 0.5 }],
    ["k", { ...standard, k: 8 }],
    ["k_anneal_from", { ...standard, k_anneal_from: 50 }],
    ["k_anneal_steps", { k_anneal_steps: 9 }],
    ["multi_topk", { architecture: "batchtopk", multi_topk: true }],
    ["topk_threshold_lr", { topk_threshold_lr: 0.1 }],
    ["rescale_acts_by_decoder_norm", { rescale_acts_by_decoder_norm: false }],
    ["matryoshka_widths", { architecture: "batchtopk", matryoshka_widths: [8, 64] }],
    ["use_matryoshka_aux_loss", { architecture: "batchtopk", use_matryoshka_aux_loss: true }],
    [
      "use_matryoshka_aux_loss",
      { architecture: "matryoshka_batchtopk", aux_loss_coefficient: 0, use_matryoshka_aux_loss: true },
    ],
    ["l1_coefficient", { l1_coefficient: 3 }],
    ["l1_warm_up_steps", { l1_warm_up_steps: 3 }],
    ["lp_norm", { architecture: "gated", lp_norm: 2 }],
    ["l0_coefficient", { ...standard, l0_coefficient: 3 }],
    ["l0_warm_up_steps", { ...standard, l0_warm_up_steps: 3 }],
    ["jumprelu_sparsity_loss_mode", { ...standard, jumprelu_sparsity_loss_mode: "step" }],
    ["jumprelu_init_threshold", { ...standard, jumprelu_init_threshold: 0.2 }],
    ["jumprelu_bandwidth", { ...standard, jumprelu_bandwidth: 0.2 }],
    [
      "jumprelu_tanh_scale",
      { architecture: "jumprelu", jumprelu_sparsity_loss_mode: "step", jumprelu_tanh_scale: 2 },
    ],
    ["pre_act_loss_coefficient", { ...standard, pre_act_loss_coefficient: 1 }],
    ["target_l0", { target_l0: 8 }],
    ["target_l0_gain", { ...standard, target_l0_gain: 0.1 }],
    [
      "target_l0_gain",
      {
        architecture: "jumprelu",
        jumprelu_sparsity_loss_mode: "quadratic",
        target_l0: 8,
        target_l0_gain: 0.1,
      },
    ],
    ["lr_end", { lr_end: 1e-5 }],
    ["n_restart_cycles", { lr_scheduler_name: "cosineannealing", n_restart_cycles: 3 }],
    ["aux_loss_coefficient", { ...standard, aux_loss_coefficient: 0.5 }],
    ["k_aux", { aux_loss_coefficient: 0, k_aux: 5 }],
    ["resample_every_steps", { resample_every_steps: 5 }],
    ["resample_times", { resample_times: 5 }],
    ["resample_tokens", { resample_tokens: 5 }],
  ];

  test.each(cases)("%s in %j", (path, overrides) => {
    const found = faults(overrides);
    expect(found.map((one) => one.path)).toEqual([path]);
    expect(found[0]!.message).toContain(path);
    expect(optionApplies(path, config(overrides))).toBe(false);
  });

  test("but where they have one they are not", () => {
    const consistent: Input[] = [
      { architecture: "transcoder", base_architecture: "gated", d_out: 8, l1_coefficient: 3 },
      { architecture: "crosscoder", n_hook_points: 3, lp_norm: 2, target_l0: 8, target_l0_gain: 0.1 },
      { ...free, decoder_init_norm: 0.5, rescale_acts_by_decoder_norm: false, multi_topk: true },
      { k: 8, k_anneal_from: 50, k_anneal_steps: 9, k_aux: 5 },
      { architecture: "matryoshka_batchtopk", matryoshka_widths: [8, 64], use_matryoshka_aux_loss: true },
      {
        architecture: "jumprelu",
        jumprelu_sparsity_loss_mode: "quadratic",
        target_l0: 8,
        l0_warm_up_steps: 9,
      },
      { lr_scheduler_name: "cosineannealingwarmrestarts", lr_end: 1e-5, n_restart_cycles: 3 },
      { resample: true, resample_every_steps: 5, resample_times: 5, resample_tokens: 5 },
    ];
    for (const overrides of consistent) expect(faults(overrides)).toEqual([]);
  });
});

describe("contradictions are named at the option to change", () => {
  const cases: [OptionName, Input][] = [
    ["k", { k: 65 }],
    ["k", { k: 2.5 }],
    ["k", { architecture: "transcoder", k: 2.5 }],
    ["k_anneal_from", { k_anneal_from: 31, k_anneal_steps: 9 }],
    ["k_anneal_from", { k_anneal_from: 65, k_anneal_steps: 9 }],
    ["matryoshka_widths", { architecture: "matryoshka_batchtopk", matryoshka_widths: [8, 8, 64] }],
    ["matryoshka_widths", { architecture: "matryoshka_batchtopk", matryoshka_widths: [8, 32] }],
    ["matryoshka_widths", { architecture: "matryoshka_batchtopk", matryoshka_widths: [] }],
    ["apply_b_dec_to_input", { architecture: "transcoder", apply_b_dec_to_input: true }],
    ["n_hook_points", { architecture: "crosscoder" }],
    ["n_hook_points", { architecture: "crosscoder", n_hook_points: 3, d_in: 30_000 }],
    ["target_l0", { architecture: "jumprelu", jumprelu_sparsity_loss_mode: "quadratic" }],
    ["target_l0", { architecture: "standard", target_l0: 65 }],
    ["training_tokens", { training_tokens: 4_095 }],
    ["lr_warm_up_steps", { lr_warm_up_steps: 200, lr_decay_steps: 45 }],
    ["l1_warm_up_steps", { architecture: "gated", l1_warm_up_steps: 245 }],
    ["l0_warm_up_steps", { architecture: "jumprelu", l0_warm_up_steps: 245 }],
    ["k_anneal_steps", { k_anneal_from: 50, k_anneal_steps: 245 }],
  ];

  test.each(cases)("%s in %j", (path, overrides) => {
    expect(faults(overrides).map((one) => one.path)).toEqual([path]);
    expect(faults(overrides)[0]!.message).toMatch(/\.$/);
  });

  test("their edges are not", () => {
    expect(totalSteps(config({}))).toBe(244);
    const consistent: Input[] = [
      { k: 64 },
      { architecture: "batchtopk", k: 2.5 },
      { k_anneal_from: 64, k_anneal_steps: 244 },
      { training_tokens: 4_096 },
      { lr_warm_up_steps: 200, lr_decay_steps: 44 },
      { architecture: "gated", l1_warm_up_steps: 244 },
      { architecture: "standard", target_l0: 64 },
    ];
    for (const overrides of consistent) expect(faults(overrides)).toEqual([]);
  });
});

test("widths: of what is encoded, what is reconstructed, and a row of the source", () => {
  const widths = (overrides: Input) => ({
    ...widthsOf(config(overrides)),
    source: sourceWidth(config(overrides)),
  });
  expect(widths({})).toEqual({ input: 16, output: 16, source: 16 });
  expect(widths({ architecture: "transcoder" })).toEqual({ input: 16, output: 16, source: 32 });
  expect(widths({ architecture: "skip_transcoder", d_out: 5 })).toEqual({ input: 16, output: 5, source: 21 });
  expect(widths({ architecture: "crosscoder", n_hook_points: 3 })).toEqual({
    input: 48,
    output: 48,
    source: 48,
  });
});
