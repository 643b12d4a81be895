import { type PresetName, presetTraining, syntheticGenerators } from "../gpu/data/presets.ts";
import { SyntheticSource } from "../gpu/data/synthetic.ts";
import type { Gpu } from "../gpu/device/gpu.ts";
import { trainOnTruth } from "../gpu/metrics/train-on-truth.ts";
import type { BaseArchitecture } from "../gpu/sae/architecture.ts";
import { type TrainingConfig, trainingConfigSchema } from "../gpu/sae/config.ts";
import { configFaults } from "../gpu/sae/config-faults.ts";
import type { StepMetrics } from "../gpu/sae/trainer.ts";
import type { OwnScore } from "./recovery-table.ts";

/** An option that is set over the preset's; of one architecture, or of all. */
export interface Override {
  architecture: BaseArchitecture | null;
  name: string;
  value: unknown;
}

export interface TruthRuns {
  preset: PresetName;
  architectures: readonly BaseArchitecture[];
  /** Of training; the true features are the preset's. */
  seeds: readonly number[];
  /** null: the preset's. */
  training_tokens: number | null;
  overrides: readonly Override[];
}

/** Tokens to score on: F1 to about 0.001; fewer where encoding them on the CPU would take longer than minutes. */
function scoreTokens({ d_in, d_sae }: TrainingConfig): number {
  return Math.min(32_768, Math.floor(2 ** 36 / (d_in * d_sae)));
}

/** Configurations of all runs, architecture by architecture. Throws with every fault of one that has any. */
export function truthConfigs(
  runs: TruthRuns,
): { architecture: BaseArchitecture; seed: number; config: TrainingConfig }[] {
  const { preset, training_tokens, overrides } = runs;
  return runs.architectures.flatMap((architecture) =>
    runs.seeds.map((seed) => {
      const own = overrides.filter((one) => one.architecture === null || one.architecture === architecture);
      const config = trainingConfigSchema.parse({
        ...presetTraining(preset, architecture, training_tokens ?? undefined),
        seed,
        ...Object.fromEntries(own.map(({ name, value }) => [name, value])),
      });
      const faults = configFaults(config);
      if (faults.length > 0) {
        throw new RangeError(`${architecture}: ${faults.map(({ message }) => message).join(" ")}`);
      }
      return { architecture, seed, config };
    }),
  );
}

/**
 * Trains all of them in one pass over the samples of one set of true features, and scores each. `log` is told how far
 * they are, twenty times.
 */
export async function runOnTruth(
  gpu: Gpu,
  runs: TruthRuns,
  log: (line: string) => void,
): Promise<{ scores: OwnScore[]; seconds: number }> {
  const planned = truthConfigs(runs);
  const configs = planned.map(({ config }) => config);
  const [first] = configs;
  if (first === undefined) return { scores: [], seconds: 0 };
  const source = new SyntheticSource(syntheticGenerators[runs.preset]);
  const startedAt = performance.now();
  await source.prepare(gpu);
  log(`${source.n_features} true features in ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
  const latest = new Map<number, StepMetrics>();
  let told = 0;
  const { outcomes, steps, seconds } = await trainOnTruth({
    gpu,
    source,
    configs,
    tokens: scoreTokens(first),
    onMetrics: (rows, total) => {
      for (const [index, own] of rows.entries()) {
        const last = own.at(-1);
        if (last !== undefined) latest.set(index, last);
      }
      const share = Math.floor((20 * Math.max(0, ...[...latest.values()].map(({ step }) => step))) / total);
      if (share === told) return;
      told = share;
      log(`${5 * share} % after ${((performance.now() - startedAt) / 1_000).toFixed(0)} s`);
      for (const [index, { fvu, l0, dead_features }] of latest) {
        const { architecture, seed } = planned[index]!;
        log(
          `  ${architecture}, seed ${seed}: FVU ${fvu.toFixed(4)}, L0 ${l0.toFixed(2)}, ${dead_features} dead`,
        );
      }
    },
  });
  log(`${steps} steps of ${configs.length} SAEs in ${seconds.toFixed(0)} s`);
  const scores = planned.map(({ architecture, seed, config }, index): OwnScore => {
    const outcome = outcomes[index]!;
    const own = { architecture, seed, d_sae: config.d_sae };
    if (!(outcome instanceof Error)) return { ...own, recovery: outcome.recovery };
    log(`${architecture}, seed ${seed}: ${outcome.message}`);
    return { ...own, recovery: null };
  });
  return { scores, seconds };
}
