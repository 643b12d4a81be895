import { describe, expect, it } from "vitest";
import { keepsFixedNumber, optionsFor, tabConfig } from "../../app/_playground/tab-config.ts";
import { automaticValue } from "../../app/_runs/automatic-values.ts";
import { switched, typedConfig } from "../../app/_runs/config-form.ts";
import { optionFields, readValue, writeValue } from "../../app/_runs/schema-fields.ts";
import { activationSetDefaults } from "../../app/_runs/source-defaults.ts";
import { architectures, baseArchitectures } from "../../gpu/sae/architecture.ts";
import {
  type TrainingConfigInput,
  trainingConfigOptions,
  trainingConfigSchema,
} from "../../gpu/sae/config.ts";
import { configFaults } from "../../gpu/sae/config-faults.ts";

const fields = optionFields(trainingConfigOptions);
const widths = fields.find(({ key }) => key === "matryoshka_widths")!;

const given = { d_in: 16, d_out: 24, n_hook_points: 2 };
const bySource = activationSetDefaults({ n_tokens: 4_096, d_in: 16 });

describe("the form of a run", () => {
  for (const architecture of architectures) {
    it(`sends for ${architecture} what applies to it, without a fault`, () => {
      const { sent, essential, fields: shown } = typedConfig({ architecture }, bySource, given);
      const config = trainingConfigSchema.parse(sent as TrainingConfigInput);
      expect(config.architecture).toBe(architecture);
      expect(configFaults(config)).toEqual([]);
      expect(essential).toHaveLength(6);
      for (const key of essential) expect(shown.map((field) => field.key)).toContain(key);
      expect("k" in sent).toBe(!["standard", "gated", "jumprelu", "crosscoder"].includes(architecture));
      expect("d_out" in sent).toBe(["transcoder", "skip_transcoder"].includes(architecture));
      expect("n_hook_points" in sent).toBe(architecture === "crosscoder");
    });
  }

  it("keeps an architecture's own defaults below the source's", () => {
    const { defaults, values } = typedConfig({ architecture: "crosscoder" }, bySource, given);
    expect(values.base_architecture).toBe("standard");
    expect(defaults).toMatchObject({ l1_coefficient: 2, decoder_norm: "free", target_l0: 2, d_sae: 128 });
  });

  it("drops on a change what has no effect there, and keeps the rest", () => {
    const typed = { architecture: "topk", k: "9", lr: "0.01", multi_topk: "true" };
    const gated = switched(typed, { architecture: "gated" });
    expect(gated).toEqual({ architecture: "gated", lr: "0.01" });
    const transcoder = switched(typed, { architecture: "transcoder" });
    expect(transcoder).toEqual({ ...typed, architecture: "transcoder" });
    const over = switched({ ...transcoder, base_architecture: "topk" }, { base_architecture: "jumprelu" });
    expect(over).toEqual({ architecture: "transcoder", base_architecture: "jumprelu", lr: "0.01" });
    expect(switched(over, { architecture: "topk" })).toEqual({ architecture: "topk", lr: "0.01" });
  });

  it("shows an option only while another gives it a meaning", () => {
    const shown = (typed: Record<string, string>) =>
      typedConfig({ architecture: "topk", ...typed }, bySource, given).fields.map(({ key }) => key);
    expect(shown({})).not.toContain("k_anneal_steps");
    expect(shown({ k_anneal_from: "8" })).toContain("k_anneal_steps");
    expect(shown({ decoder_norm: "free" })).toContain("decoder_init_norm");
    expect(shown({ resample: "true" })).toContain("resample_every_steps");
    expect(shown({ aux_loss_coefficient: "0" })).not.toContain("k_aux");
  });
});

describe("the Playground", () => {
  for (const base of baseArchitectures) {
    it(`has a training of ${base} without a fault`, () => {
      const config = trainingConfigSchema.parse(tabConfig(optionsFor(base)));
      expect(configFaults(config)).toEqual([]);
      expect(config).toMatchObject({
        architecture: base,
        target_l0: keepsFixedNumber(base) ? null : 4.3,
        lr: keepsFixedNumber(base) ? 1e-3 : 3e-3,
      });
    });
  }
});

describe("a list of whole numbers", () => {
  it("is read from what a person writes, and written the same way", () => {
    expect(widths.kind).toBe("integers");
    expect(widths.bounds).toBe("from 1 to 1,048,576");
    expect(readValue(widths, "32, 96, 256")).toEqual([32, 96, 256]);
    expect(readValue(widths, " 32 96;256 ")).toEqual([32, 96, 256]);
    expect(readValue(widths, "")).toBeNull();
    expect(readValue(widths, "32, x")).toBe("32, x");
    expect(writeValue([32, 96, 256])).toBe("32, 96, 256");
  });

  it("says what it comes to when it is left empty", () => {
    const values = { architecture: "matryoshka_batchtopk", d_in: 16, d_sae: 64, k: 4 };
    expect(automaticValue("matryoshka_widths", values)).toBe("automatic: 4, 8, 16, 32, 64");
    expect(automaticValue("lr_decay_steps", { ...values, training_tokens: 409_600 })).toBe("automatic: 20");
    expect(automaticValue("ema_decay", values)).toBeNull();
    expect(automaticValue("k_aux", { ...values, d_sae: "none yet" })).toBe("automatic");
  });
});
