import { normals } from "../../gpu/data/random.ts";
import type { Sae, SaeConfig } from "../../gpu/sae/sae.ts";
import { saeShapes } from "../../gpu/sae/sae-shapes.ts";

const noMetadata: SaeConfig["metadata"] = {
  model_name: null,
  hook_name: null,
  hook_name_out: null,
  dataset_name: null,
  context_size: null,
  prepend_bos: null,
  training_architecture: null,
  extra: {},
};

/** A configuration of 6 inputs and 11 features that reads and reconstructs one hook point, but for what is given. */
export function saeConfig(given: Partial<SaeConfig> = {}): SaeConfig {
  const d_in = given.d_in ?? 6;
  return {
    activation: "relu",
    d_in,
    d_out: d_in,
    d_sae: 11,
    k: given.activation === "topk" ? 3 : null,
    rescale_acts_by_decoder_norm: false,
    apply_b_dec_to_input: true,
    normalize_activations: "none",
    transcoder: false,
    skip: false,
    n_hook_points: 1,
    ...given,
    metadata: { ...noMetadata, ...given.metadata },
  };
}

/** An SAE of normal weights; thresholds and r_mag are small, so that features fire and stay silent in turn. */
export function randomSae(given: Partial<SaeConfig> = {}, seed = 1): Sae {
  const config = saeConfig(given);
  let series = 0;
  const tensors = [...saeShapes(config)].map(([name, shape]) => {
    const length = shape.reduce((product, extent) => product * extent, 1);
    const values = normals(length, seed, series++);
    const scale = name === "threshold" || name === "r_mag" ? 0.3 : 0.7;
    const data = Float32Array.from(values, (v) => scale * (name === "threshold" ? Math.abs(v) : v));
    return [name, { shape, data }] as const;
  });
  return { config, tensors: Object.fromEntries(tensors) };
}

/** Rows of normal numbers, [n, width]. */
export function randomRows(n: number, width: number, seed = 2): Float32Array {
  return Float32Array.from(normals(n * width, seed, 1000));
}

/** Largest absolute difference of two rows of numbers. */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return Array.from(a).reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i]!)), 0);
}
