import { describe, expect, it } from "vitest";
import { peerTables } from "../../bench/peer-recovery.ts";
import { type OwnScore, recoveryTable } from "../../bench/recovery-table.ts";
import { truthConfigs } from "../../bench/truth-runs.ts";
import { presetNames, presetTraining, syntheticGenerators } from "../../gpu/data/presets.ts";
import { syntheticFaults } from "../../gpu/data/synthetic.ts";
import { baseArchitectures } from "../../gpu/sae/architecture.ts";
import { totalSteps, trainingConfigSchema } from "../../gpu/sae/config.ts";
import { configFaults } from "../../gpu/sae/config-faults.ts";

describe("presets", () => {
  for (const preset of presetNames) {
    it(`${preset}: a generator without faults, and a training without faults for every architecture`, () => {
      expect(syntheticFaults(syntheticGenerators[preset])).toEqual([]);
      for (const architecture of baseArchitectures) {
        for (const budget of [undefined, 2_000_000]) {
          const config = trainingConfigSchema.parse(presetTraining(preset, architecture, budget));
          expect({ architecture, faults: configFaults(config) }).toEqual({ architecture, faults: [] });
          expect(config.d_in).toBe(syntheticGenerators[preset].d_in);
          if (budget !== undefined) expect(config.training_tokens).toBe(budget);
        }
      }
    });
  }

  it("raise λ over a third of the run, however long it is", () => {
    for (const budget of [undefined, 1_000_000]) {
      const config = trainingConfigSchema.parse(presetTraining("synthsaebench-16k", "standard", budget));
      expect(config.l1_warm_up_steps).toBe(Math.floor(totalSteps(config) / 3));
    }
  });

  it("train SynthSAEBench as it is published: 200 M samples, batches of 1,024, width 4,096, rate 3e-4", () => {
    const config = trainingConfigSchema.parse(presetTraining("synthsaebench-16k", "matryoshka_batchtopk"));
    expect(config).toMatchObject({
      d_in: 768,
      d_sae: 4_096,
      k: 25,
      lr: 3e-4,
      train_batch_size_tokens: 1_024,
      training_tokens: 200_000_000,
      matryoshka_widths: [128, 512, 2_048, 4_096],
      use_matryoshka_aux_loss: true,
    });
  });
});

describe("runs beside the peer's", () => {
  const runs = {
    preset: "toy",
    architectures: ["topk", "gated"],
    seeds: [0, 1],
    training_tokens: 100_000,
    overrides: [
      { architecture: null, name: "lr", value: 1e-3 },
      { architecture: "topk", name: "k", value: 5 },
    ],
  } as const;

  it("take the preset's options, and what is set over them for all or for one", () => {
    const configs = truthConfigs(runs);
    expect(configs.map(({ architecture, seed }) => [architecture, seed])).toEqual([
      ["topk", 0],
      ["topk", 1],
      ["gated", 0],
      ["gated", 1],
    ]);
    expect(configs[1]?.config).toMatchObject({ architecture: "topk", seed: 1, lr: 1e-3, k: 5, d_sae: 16 });
    expect(configs[2]?.config).toMatchObject({ lr: 1e-3, target_l0: 4, training_tokens: 100_000 });
    const contradiction = { ...runs, overrides: [{ architecture: null, name: "k", value: 99 }] };
    expect(() => truthConfigs(contradiction)).toThrow("topk: k is 99");
    const misspelt = { ...runs, overrides: [{ architecture: null, name: "learning_rate", value: 1 }] };
    expect(() => truthConfigs(misspelt)).toThrow("learning_rate");
  });

  it("make one table, with means over our seeds and with what diverged", () => {
    const recovery = {
      mcc: 0.5,
      f1: 0.25,
      precision: 0.2,
      recall: 0.4,
      uniqueness: 1,
      explained_variance: 0.9,
      shrinkage: 0.95,
      dead_fraction: 0.125,
      l0: 4,
      true_l0: 4,
      n_features: 16,
      tokens: 10,
    };
    const own: OwnScore[] = [
      { architecture: "topk", seed: 0, d_sae: 16, recovery },
      { architecture: "topk", seed: 1, d_sae: 16, recovery: { ...recovery, mcc: 0.7 } },
      { architecture: "topk", seed: 2, d_sae: 16, recovery: null },
    ];
    const lines = recoveryTable(own, peerTables.toy.scores).split("\n");
    expect(lines.slice(2)).toEqual([
      "| topk, peer: k 4 | 0 | 0.8275 | – | 0.8430 | – / – | 0.8360 | 4.00 | – | 0.945 |",
      "| topk, peer: k 4 | 1 | 0.8062 | – | 0.8260 | – / – | 0.8380 | 4.00 | – | 0.946 |",
      "| **topk, Facet** | 0 | 0.5000 | 1.000 | 0.2500 | 0.200 / 0.400 | 0.9000 | 4.00 | 2 | 0.950 |",
      "| **topk, Facet** | 1 | 0.7000 | 1.000 | 0.2500 | 0.200 / 0.400 | 0.9000 | 4.00 | 2 | 0.950 |",
      "| **topk, Facet** | 2 | diverged |  |  |  |  |  |  |  |",
      "| **topk, Facet, mean** | – | 0.6000 | 1.000 | 0.2500 | 0.200 / 0.400 | 0.9000 | 4.00 | 2 | 0.950 |",
    ]);
  });
});
