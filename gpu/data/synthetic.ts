import { z } from "zod";
import type { Gpu } from "../device/gpu.ts";
import type { OptionMeta } from "../sae/config.ts";
import { type GroundTruth, groundTruth, groundTruthOn, takesLong } from "./ground-truth.ts";
import { hierarchySize } from "./hierarchy.ts";
import { pcg4d } from "./random.ts";
import type { ActivationSource, BatchStream, OpenSource } from "./source.ts";
import { openSyntheticKernels, syntheticGpuBytes } from "./synthetic-kernels.ts";

/** Words for one option of the generator; as `OptionMeta`, with the generator's own groups. */
export interface SyntheticOptionMeta extends Omit<OptionMeta, "group"> {
  group: "True features" | "Firing" | "Correlation" | "Magnitude" | "Hierarchy";
}

function option<T extends z.ZodType>(type: T, meta: SyntheticOptionMeta): T {
  return type.meta({ ...meta });
}

const probability = () => z.number().gt(0).lt(1);
const saelens = "SAELens synthetic";

/**
 * Synthetic activations with a known ground truth, after SAELens' `synthetic` package: x = a·D + b with sparse,
 * non-negative true activations a [n_features], unit-norm true features D [n_features, d_in] and a bias b [d_in].
 * Flat, strict, and complete after parsing. The defaults make a small problem that a TopK SAE can solve.
 */
export const syntheticConfigSchema = z.strictObject({
  d_in: option(z.number().int().min(2).max(8_192).default(32), {
    label: "d_in",
    help: "Width of the activations.",
    group: "True features",
  }),
  n_features: option(z.number().int().min(1).max(65_536).default(32), {
    label: "True features",
    help: "Number of true directions; more than d_in puts them in superposition.",
    group: "True features",
    unit: "features",
    source: `${saelens}, FeatureDictionary`,
  }),
  orthogonalize_steps: option(z.number().int().min(0).max(10_000).default(200), {
    label: "Orthogonalisation steps",
    help: "Steps of Adam on the sum of squared cosines between features, from random directions; 0 leaves them random. Where there are no more features than dimensions, any other number makes them orthonormal.",
    group: "True features",
    unit: "steps",
    source: `${saelens}, orthogonalize_embeddings`,
  }),
  orthogonalize_lr: option(z.number().positive().max(1).default(0.01), {
    label: "Orthogonalisation rate",
    help: "Adam's step size while the features are pushed apart.",
    group: "True features",
    source: `${saelens}, orthogonalize_embeddings`,
  }),
  bias_norm: option(z.number().min(0).max(1_000).default(0.5), {
    label: "Bias norm",
    help: "Norm of the constant vector added to every activation.",
    group: "True features",
    source: `${saelens}, FeatureDictionary`,
  }),
  seed: option(z.number().int().min(0).max(4_294_967_295).default(42), {
    label: "Seed",
    help: "Fixes the true features and every sample drawn.",
    group: "True features",
  }),

  firing_distribution: option(z.enum(["flat", "zipf"]).default("zipf"), {
    label: "Firing rates",
    help: "flat: every feature fires equally often. zipf: rates fall with the feature's rank from the highest to the lowest.",
    group: "Firing",
    source: `${saelens}, ZipfianFiringProbabilityConfig`,
  }),
  firing_probability: option(probability().default(0.2), {
    label: "Firing probability",
    help: "Share of tokens on which a feature fires; with zipf, that of the most frequent one.",
    group: "Firing",
  }),
  firing_probability_min: option(probability().default(0.05), {
    label: "Lowest firing probability",
    help: "With zipf, the share of tokens on which the least frequent feature fires.",
    group: "Firing",
    source: `${saelens}, ZipfianFiringProbabilityConfig`,
  }),
  zipf_exponent: option(z.number().positive().max(10).default(0.5), {
    label: "Zipf exponent",
    help: "Rates fall as rank to the power of minus this.",
    group: "Firing",
    source: `${saelens}, ZipfianFiringProbabilityConfig`,
  }),

  correlation_rank: option(z.number().int().min(0).max(256).default(0), {
    label: "Correlation rank",
    help: "Shared hidden causes by which features fire together (a Gaussian copula of this rank); 0 makes them independent.",
    group: "Correlation",
    source: `${saelens}, LowRankCorrelationConfig`,
  }),
  correlation_scale: option(z.number().min(0).max(10).default(0.1), {
    label: "Correlation scale",
    help: "Standard deviation of a feature's loading on each hidden cause.",
    group: "Correlation",
    source: `${saelens}, LowRankCorrelationConfig`,
  }),

  magnitude_mean: option(z.number().positive().max(1_000).default(1), {
    label: "Mean magnitude",
    help: "Mean activation of a firing feature, before the ReLU; of the first feature where the last has another.",
    group: "Magnitude",
    source: saelens,
  }),
  magnitude_mean_last: option(z.number().positive().max(1_000).nullable().default(null), {
    label: "Mean magnitude of the last feature",
    help: "Means run linearly from the first feature to the last; empty gives all the same mean.",
    group: "Magnitude",
    source: `${saelens}, LinearMagnitudeConfig`,
  }),
  magnitude_std: option(z.number().min(0).max(1_000).default(0.25), {
    label: "Magnitude deviation",
    help: "Standard deviation of a firing feature's activation: ReLU(mean + deviation · N(0, 1)).",
    group: "Magnitude",
    source: saelens,
  }),
  magnitude_std_spread: option(z.number().min(0).max(1_000).default(0), {
    label: "Spread of deviations",
    help: "Each feature's deviation is |N(deviation, spread)|; 0 gives all the same.",
    group: "Magnitude",
    source: `${saelens}, FoldedNormalMagnitudeConfig`,
  }),

  hierarchy_roots: option(z.number().int().min(0).max(65_536).default(0), {
    label: "Hierarchy roots",
    help: "Features that have children; a child fires only when its parent does. 0 makes all features independent.",
    group: "Hierarchy",
    source: `${saelens}, HierarchyConfig`,
  }),
  hierarchy_branching: option(z.number().int().min(1).max(64).default(4), {
    label: "Children per parent",
    help: "Branching of every tree.",
    group: "Hierarchy",
    source: `${saelens}, HierarchyConfig`,
  }),
  hierarchy_depth: option(z.number().int().min(1).max(8).default(2), {
    label: "Hierarchy depth",
    help: "Levels below the roots.",
    group: "Hierarchy",
    source: `${saelens}, HierarchyConfig`,
  }),
  mutually_exclusive_children: option(z.boolean().default(false), {
    label: "Exclusive siblings",
    help: "Of siblings that fire on the same token, one drawn at random stays.",
    group: "Hierarchy",
    source: `${saelens}, HierarchyConfig`,
  }),
  compensate_probabilities: option(z.boolean().default(true), {
    label: "Keep firing rates",
    help: "Children are drawn more often, to make up for the parents and siblings that silence them: exactly for parents, to first order for siblings.",
    group: "Hierarchy",
    source: `${saelens}, HierarchyConfig`,
  }),
  scale_children_by_parent: option(z.boolean().default(true), {
    label: "Scale children by parent",
    help: "A child's activation is multiplied by its parent's, relative to the parent's mean.",
    group: "Hierarchy",
    source: `${saelens}, HierarchyConfig`,
  }),
});

export type SyntheticConfig = z.output<typeof syntheticConfigSchema>;
export type SyntheticConfigInput = z.input<typeof syntheticConfigSchema>;

/** One contradiction between options of the generator, in a full sentence, at the option to change. */
export interface SyntheticFault {
  path: keyof SyntheticConfig;
  message: string;
}

/** What no single option's bounds can say. Empty when the configuration is consistent. */
export function syntheticFaults(config: SyntheticConfig): SyntheticFault[] {
  const faults: SyntheticFault[] = [];
  if (config.firing_distribution === "zipf" && config.firing_probability_min > config.firing_probability) {
    faults.push({
      path: "firing_probability_min",
      message: `The lowest firing probability (${config.firing_probability_min}) is above the highest (${config.firing_probability}).`,
    });
  }
  const explained = config.correlation_rank * config.correlation_scale ** 2;
  if (explained > 0.5) {
    faults.push({
      path: "correlation_scale",
      message: `Rank ${config.correlation_rank} at scale ${config.correlation_scale} gives hidden causes ${explained.toFixed(2)} of each feature's variance; keep rank · scale² at or below 0.5.`,
    });
  }
  const treeFeatures = hierarchySize(config);
  if (treeFeatures > config.n_features) {
    faults.push({
      path: "hierarchy_roots",
      message: `The hierarchy takes ${treeFeatures} features, but there are only ${config.n_features}.`,
    });
  }
  return faults;
}

/** Thrown when a `SyntheticSource` is made from a configuration with faults. */
export class SyntheticConfigError extends Error {
  override readonly name = "SyntheticConfigError";
  readonly faults: SyntheticFault[];
  constructor(faults: SyntheticFault[]) {
    super(`The synthetic data cannot be made: ${faults.map((fault) => fault.message).join(" ")}`);
    this.faults = faults;
  }
}

/** An open generator, with the truth behind its newest batch. */
export interface OpenSyntheticSource extends OpenSource {
  /** True activations a of the batch last encoded, f32 [rows, n_features], zero where a feature is silent. */
  readonly activations: GPUBuffer;
}

/**
 * Fresh samples of the generator, drawn on the GPU. Token t of a stream is a pure function of (config, stream, t)
 * with t = batch · rows + row.
 */
export class SyntheticSource implements ActivationSource {
  readonly config: SyntheticConfig;
  readonly d_in: number;
  readonly n_features: number;
  readonly n_tokens = null;
  #truth: GroundTruth | null = null;
  #preparing: Promise<GroundTruth> | null = null;

  /** Throws `SyntheticConfigError`. The true features are made when first asked for, not here. */
  constructor(config: SyntheticConfig) {
    const faults = syntheticFaults(config);
    if (faults.length > 0) throw new SyntheticConfigError(faults);
    this.config = config;
    this.d_in = config.d_in;
    this.n_features = config.n_features;
  }

  /**
   * The generator's constants: features, bias, rates, magnitudes, hierarchy. Throws where they take long to make and
   * neither `prepare` nor `open` has made them.
   */
  get truth(): GroundTruth {
    if (this.#truth === null && takesLong(this.config)) {
      throw new Error(
        `${this.n_features} true features in ${this.d_in} dimensions take long to make: prepare the source first.`,
      );
    }
    this.#truth ??= groundTruth(this.config);
    return this.#truth;
  }

  /** Makes the constants, once; where they take long on the GPU, with memory that is free again afterwards. */
  prepare(gpu: Gpu): Promise<GroundTruth> {
    if (this.#truth !== null) return Promise.resolve(this.#truth);
    this.#preparing ??= groundTruthOn(gpu, this.config)
      .then((truth) => {
        this.#truth = truth;
        return truth;
      })
      .finally(() => {
        this.#preparing = null;
      });
    return this.#preparing;
  }

  /** True features D, unit rows, f32 [n_features, d_in]. */
  get dictionary(): Float32Array {
    return this.truth.dictionary;
  }

  gpuBytes(maxRows: number): number {
    return syntheticGpuBytes(this.config, maxRows);
  }

  async open(gpu: Gpu, maxRows: number): Promise<OpenSyntheticSource> {
    return openSyntheticKernels(gpu, this.config, await this.prepare(gpu), maxRows);
  }
}

/** Key of a stream's random numbers; the streams of one seed share none. */
export function streamKey(seed: number, stream: BatchStream): number {
  const words = new Uint32Array(4);
  pcg4d(words, seed, stream === "training" ? 1 : 2, 0x510e527f, 0);
  return words[3]!;
}
