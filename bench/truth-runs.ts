import { type PresetName, presetTraining, syntheticGenerators } from "../gpu/data/presets.ts";
import { SyntheticSource } from "../gpu/data/synthetic.ts";
import type { Gpu } from "../gpu/device/gpu.ts";
import { trainOnTruth } from "../gpu/metrics/train-on-truth.ts";
import type { BaseArchitecture } from "../gpu/sae/architecture.ts";
import { type TrainingConfig, trainingConfigSchema } from "../gpu/sae/config.ts";
import { configFaults } from "../gpu/sae/config-faults.ts";
import { DivergedError } from "../gpu/sae/errors.ts";
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

/** Trains and scores them one after another on one set of true features. */
export async function runOnTruth(
  gpu: Gpu,
  runs: TruthRuns,
  log: (line: string) => void,
): Promise<OwnScore[]> {
  const configs = truthConfigs(runs);
  const source = new SyntheticSource(syntheticGenerators[runs.preset]);
  const startedAt = performance.now();
  await source.prepare(gpu);
  log(`${source.n_features} true features in ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
  const scores: OwnScore[] = [];
  for (const { architecture, seed, config } of configs) {
    const began = performance.now();
    const own = { architecture, seed, d_sae: config.d_sae };
    try {
      const { recovery, seconds, steps } = await trainOnTruth({
        gpu,
        source,
        config,
        tokens: scoreTokens(config),
      });
      scores.push({ ...own, recovery, seconds });
      const { mcc, f1, explained_variance, l0 } = recovery;
      log(
        `${architecture}, seed ${seed}: MCC ${mcc.toFixed(4)}, F1 ${f1.toFixed(4)}, EV ${explained_variance.toFixed(4)}, ` +
          `L0 ${l0.toFixed(2)}; ${steps} steps in ${seconds.toFixed(1)} s`,
      );
    } catch (error) {
      if (!(error instanceof DivergedError)) throw error;
      scores.push({ ...own, recovery: null, seconds: (performance.now() - began) / 1_000 });
      log(`${architecture}, seed ${seed}: ${error.message}`);
    }
  }
  return scores;
}
