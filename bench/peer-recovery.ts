import type { PresetName } from "../gpu/data/presets.ts";
import type { BaseArchitecture } from "../gpu/sae/architecture.ts";

/** What another library reached on a preset; null where it is not known. */
export interface PeerScore {
  architecture: BaseArchitecture;
  /** How it differs from what the library does by default. */
  options: string;
  /** null: the mean over several. */
  seed: number | null;
  mcc: number;
  f1: number;
  explained_variance: number;
  l0: number | null;
  uniqueness: number | null;
  precision: number | null;
  recall: number | null;
  dead: number | null;
  shrinkage: number | null;
}

interface PeerTable {
  source: string;
  /** Samples each was trained on. */
  training_tokens: number;
  scores: PeerScore[];
}

const unknown = {
  uniqueness: null,
  precision: null,
  recall: null,
  dead: null,
  shrinkage: null,
} as const;

/** One architecture of the toy, per seed: MCC, F1, explained variance, L0, shrinkage. */
function toy(
  architecture: BaseArchitecture,
  options: string,
  seeds: readonly (readonly [number, number, number, number, number])[],
): PeerScore[] {
  return seeds.map(([mcc, f1, explained_variance, l0, shrinkage], seed) => ({
    ...unknown,
    ...{ architecture, options, seed, mcc, f1, explained_variance, l0, shrinkage },
  }));
}

/** The mini benchmark: MCC, uniqueness, F1, precision, recall, explained variance, L0, dead, shrinkage. */
function mini(
  architecture: BaseArchitecture,
  options: string,
  seeds: readonly (readonly number[])[],
): PeerScore[] {
  return seeds.map((row, seed) => {
    const [mcc, uniqueness, f1, precision, recall, explained_variance, l0, dead, shrinkage] = row as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const scores = { mcc, uniqueness, f1, precision, recall, explained_variance, l0, dead, shrinkage };
    return { architecture, options, seed, ...scores };
  });
}

/** SynthSAEBench at one L0, means over five seeds: F1, MCC, uniqueness, explained variance. */
function bench(
  architecture: BaseArchitecture,
  l0: number,
  [f1, mcc, uniqueness, explained_variance]: readonly [number, number, number, number],
): PeerScore {
  return {
    ...unknown,
    ...{ architecture, options: `L0 ${l0}`, seed: null, f1, mcc, uniqueness, explained_variance, l0 },
  };
}

/** Published scores, and scores of SAELens' own code run by us where there are none. */
export const peerTables: Record<Exclude<PresetName, "sample">, PeerTable> = {
  toy: {
    source: "SAELens 6.38.0, train_toy_sae, float32 on one thread of a CPU",
    training_tokens: 10_000_000,
    scores: [
      ...toy("standard", "λ 0.05", [
        [1, 1, 0.9989, 4.01, 0.975],
        [1, 1, 0.9989, 4.0, 0.975],
      ]),
      ...toy("gated", "λ 0.05", [
        [1, 1, 0.9999, 4.01, 1],
        [1, 1, 0.9999, 4.0, 1],
      ]),
      ...toy("topk", "k 4", [
        [0.8275, 0.843, 0.836, 4, 0.945],
        [0.8062, 0.826, 0.838, 4, 0.946],
      ]),
      ...toy("batchtopk", "k 4", [
        [0.988, 0.938, 0.955, 4, 0.98],
        [0.9759, 0.873, 0.94, 4, 0.974],
      ]),
      ...toy("matryoshka_batchtopk", "k 4, widths 4, 16", [
        [0.9347, 0.873, 0.909, 4, 1.009],
        [0.9864, 0.999, 0.966, 4, 1.034],
      ]),
      ...toy("jumprelu", "step, λ 0.05, ε 0.1, θ₀ 0.1", [
        [0.5691, 0.479, 0.814, 8, 0.92],
        [0.4805, 0.37, 0.626, 6, 0.84],
      ]),
      ...toy("jumprelu", "tanh, best of eight settings", [[0.9873, 0.983, 1, 4.2, 0.999]]),
    ],
  },
  mini: {
    source: "SAELens 6.38.0, float32 on one thread of a CPU",
    training_tokens: 5_000_000,
    scores: [
      ...mini("topk", "k 12", [
        [0.7202, 0.938, 0.4795, 0.378, 0.828, 0.7841, 12, 0, 0.8871],
        [0.7229, 0.961, 0.4746, 0.366, 0.831, 0.7829, 12, 0, 0.8849],
      ]),
      ...mini("batchtopk", "k 12", [
        [0.6301, 0.887, 0.4024, 0.362, 0.658, 0.7747, 12, 32, 0.8613],
        [0.6366, 0.875, 0.3998, 0.33, 0.665, 0.7763, 12, 35, 0.8605],
      ]),
      ...mini("matryoshka_batchtopk", "k 12, widths 32, 96, 256, AuxK at every level", [
        [0.6068, 0.844, 0.4417, 0.399, 0.601, 0.7455, 12, 39, 0.8702],
        [0.6075, 0.805, 0.4358, 0.422, 0.599, 0.7463, 12, 47, 0.8706],
      ]),
      ...mini("standard", "λ 2, rising over 1,600 steps", [
        [0.6848, 0.887, 0.3313, 0.237, 0.9, 0.7892, 26.65, 0, 0.7342],
        [0.6777, 0.898, 0.3243, 0.224, 0.903, 0.7879, 26.66, 0, 0.7303],
      ]),
    ],
  },
  "synthsaebench-16k": {
    source: "arXiv 2602.14687, SAELens 6.37, means over five seeds",
    training_tokens: 200_000_000,
    scores: [
      bench("standard", 20, [0.5777, 0.5834, 0.8528, 0.7501]),
      bench("standard", 25, [0.5562, 0.6039, 0.8976, 0.7654]),
      bench("jumprelu", 20, [0.8241, 0.7434, 0.9781, 0.7906]),
      bench("jumprelu", 25, [0.7317, 0.7527, 0.9885, 0.7951]),
      bench("batchtopk", 20, [0.8183, 0.7526, 0.976, 0.7889]),
      bench("batchtopk", 25, [0.7316, 0.7574, 0.9837, 0.7923]),
      bench("matryoshka_batchtopk", 20, [0.8601, 0.7455, 0.9874, 0.7699]),
      bench("matryoshka_batchtopk", 25, [0.8793, 0.7927, 0.9987, 0.7792]),
    ],
  },
};
