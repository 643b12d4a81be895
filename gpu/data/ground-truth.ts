import type { Gpu } from "../device/gpu.ts";
import { orthonormalize, pushApart, pushApartInTurns, randomDirections } from "./directions.ts";
import { compensated, firingRates, growTrees, type Trees } from "./hierarchy.ts";
import { pushApartOnGpu } from "./orthogonalize-kernels.ts";
import { normalProbability, normalQuantile, normals } from "./random.ts";
import type { SyntheticConfig } from "./synthetic.ts";

/** Constants of a synthetic generator; one entry a feature unless said otherwise. */
export interface GroundTruth extends Trees {
  /** True features D, unit rows, [n_features, d_in]. */
  dictionary: Float32Array;
  /** Added to every activation, [d_in]. */
  bias: Float32Array;
  /** Share of tokens on which the feature is meant to fire. */
  firing_probability: Float64Array;
  /** Probability with which it is drawn, before the hierarchy silences it. */
  draw_probability: Float64Array;
  /** Share of tokens on which it is left firing: exact for independent draws, near it for correlated ones. */
  firing_rate: Float64Array;
  /** Mean and standard deviation of its activation before the ReLU. */
  magnitude_mean: Float32Array;
  magnitude_std: Float32Array;
  /** Loadings L on the hidden causes, [n_features, correlation_rank]. */
  loadings: Float32Array;
  /** √(1 − Σ_r L²), the part of a feature's Gaussian that is its own. */
  residual: Float32Array;
  /** Φ⁻¹(1 − draw_probability) = √2·erfinv(1 − 2p): the Gaussian copula's threshold. */
  threshold: Float32Array;
}

/** Series of random constants; each draws its own numbers from the seed. */
const series = { dictionary: 1, bias: 2, loadings: 3, std: 4 } as const;

/** Multiply-adds of pushing features apart above which it takes more than a moment: 1 s on one core. */
const quick = 2e9;

/** Whether the true features take so long to make that nobody should wait for them unawares. */
export function takesLong({ n_features, d_in, orthogonalize_steps }: SyntheticConfig): boolean {
  return n_features > d_in && 2 * orthogonalize_steps * n_features * d_in * d_in > quick;
}

/** The generator's constants, made on the CPU, however long that takes: the same bits on every machine. */
export function groundTruth(config: SyntheticConfig): GroundTruth {
  const { n_features, d_in, orthogonalize_steps: steps } = config;
  const dictionary = startingDirections(config);
  // The least that pushing apart can reach is known where all directions have room.
  if (steps > 0 && n_features <= d_in) orthonormalize(dictionary, d_in);
  else if (steps > 0) pushApart(dictionary, d_in, steps, config.orthogonalize_lr);
  return constants(config, dictionary);
}

/**
 * As `groundTruth`. Features that take long are made on the GPU, equal up to rounding; software adapters are slower at
 * it than the CPU that they run on, so there it stays with float64, in turns with the event loop.
 */
export async function groundTruthOn(gpu: Gpu, config: SyntheticConfig): Promise<GroundTruth> {
  if (!takesLong(config)) return groundTruth(config);
  const { d_in, orthogonalize_steps: steps, orthogonalize_lr: lr } = config;
  const dictionary = startingDirections(config);
  if (gpu.capabilities.software) await pushApartInTurns(dictionary, d_in, steps, lr);
  else await pushApartOnGpu(gpu, dictionary, d_in, steps, lr);
  return constants(config, dictionary);
}

function startingDirections({ n_features, d_in, seed }: SyntheticConfig): Float64Array {
  return randomDirections(n_features, d_in, seed, series.dictionary);
}

function constants(config: SyntheticConfig, dictionary: Float64Array): GroundTruth {
  const { n_features, d_in, seed, mutually_exclusive_children: exclusive } = config;
  const bias = randomDirections(1, d_in, seed, series.bias).map((value) => value * config.bias_norm);

  const trees = growTrees(config);
  const firing_probability = firingProbabilities(config);
  const draw_probability = config.compensate_probabilities
    ? compensated(firing_probability, trees, exclusive)
    : firing_probability;

  const last = config.magnitude_mean_last ?? config.magnitude_mean;
  const magnitude_mean = Float32Array.from(
    { length: n_features },
    (_, i) => config.magnitude_mean + ((last - config.magnitude_mean) * i) / Math.max(1, n_features - 1),
  );
  const magnitude_std = Float32Array.from(normals(n_features, seed, series.std), (value) =>
    Math.abs(config.magnitude_std + config.magnitude_std_spread * value),
  );
  // The ReLU silences a few of the features that are drawn.
  const drawn = draw_probability.map((p, i) => {
    const std = magnitude_std[i]!;
    return std > 0 ? p * normalProbability(magnitude_mean[i]! / std) : p;
  });

  return {
    dictionary: Float32Array.from(dictionary),
    bias: Float32Array.from(bias),
    firing_probability,
    draw_probability,
    firing_rate: firingRates(drawn, trees, exclusive),
    magnitude_mean,
    magnitude_std,
    ...correlation(config),
    threshold: Float32Array.from(draw_probability, (p) => (p >= 1 ? -1e30 : normalQuantile(1 - p))),
    ...trees,
  };
}

/** flat: p; zipf: min + (max − min)·(i^−a − n^−a)/(1 − n^−a) for i = 1 … n, most frequent first. */
function firingProbabilities(config: SyntheticConfig): Float64Array {
  const { n_features: n, firing_probability: max, firing_probability_min: min, zipf_exponent: a } = config;
  if (config.firing_distribution === "flat" || n === 1) return new Float64Array(n).fill(max);
  const end = n ** -a;
  return Float64Array.from({ length: n }, (_, i) => min + ((max - min) * ((i + 1) ** -a - end)) / (1 - end));
}

/** Loadings N(0, scale²); all shrunk alike where a feature's would reach its whole variance, to 99 % of it. */
function correlation(config: SyntheticConfig): Pick<GroundTruth, "loadings" | "residual"> {
  const { n_features, correlation_rank: rank, correlation_scale: scale, seed } = config;
  const loadings = Float32Array.from(
    normals(n_features * rank, seed, series.loadings),
    (value) => value * scale,
  );
  const shared = Float64Array.from({ length: n_features }, (_, i) =>
    loadings.subarray(i * rank, (i + 1) * rank).reduce((sum, value) => sum + value * value, 0),
  );
  const largest = shared.reduce((most, value) => Math.max(most, value), 0);
  const shrink = largest >= 1 ? 0.99 / largest : 1;
  return {
    loadings: loadings.map((value) => value * Math.sqrt(shrink)),
    residual: Float32Array.from(shared, (value) => Math.sqrt(1 - shrink * value)),
  };
}
