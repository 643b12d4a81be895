import type { Sae, StateTensor } from "./sae.ts";
import { saeTensor } from "./sae-shapes.ts";

/*
 * Rewriting an SAE into another that computes the same function. Numbers are combined in float64 and rounded to float32
 * once.
 */

/** The affine map an SAE was trained behind: on x' = input_scale (x − input_mean), for y' = output_scale (y − output_mean). */
export interface Normalization {
  /** One number per hook point. */
  input_scale: number[];
  /** [d_in], in the units of x. */
  input_mean: Float32Array;
  output_scale: number[];
  /** [d_out], in the units of y. */
  output_mean: Float32Array;
}

/**
 * The SAE that takes raw x and gives raw y, of one that was trained behind `normalization`.
 *   with b_dec subtracted from x'   W_enc' = s W_enc      b_dec' = b_dec / s + mean
 *   otherwise                       W_enc' = s_in W_enc   b' = b − s_in mean_in W_enc    b_dec' = b_dec / s_out + mean_out
 *   and always                      W_dec' = W_dec / s_out   W_skip' = W_skip s_in / s_out   b_dec' −= W_skip' mean_in
 * b is b_enc, or for gated b_gate, and b_mag with its shift times exp(r_mag). Thresholds stand: z does not change.
 * Throws `RangeError` for numbers that do not fit, and before per-token normalisation for any but 1 and 0.
 */
export function foldNormalization(sae: Sae, normalization: Normalization): Sae {
  checkNormalization(sae, normalization);
  const folded = copy(withSharedSelection(withOwnInputBias(sae, normalization), normalization));
  const { d_in, d_out, d_sae, n_hook_points, apply_b_dec_to_input } = folded.config;
  const { input_mean, output_mean } = normalization;
  const inputScale = (input: number) =>
    normalization.input_scale[Math.floor((input * n_hook_points) / d_in)]!;
  const outputScale = (output: number) =>
    normalization.output_scale[Math.floor((output * n_hook_points) / d_out)]!;

  const W_enc = saeTensor(folded, "W_enc");
  const shift = new Float64Array(d_sae);
  for (let input = 0; input < d_in; input++) {
    for (let feature = 0; feature < d_sae; feature++) {
      const at = input * d_sae + feature;
      W_enc[at] = inputScale(input) * W_enc[at]!;
      // Of the weight as it is now rounded: x and its mean must meet the same numbers to cancel.
      shift[feature]! -= input_mean[input]! * W_enc[at]!;
    }
  }
  if (!apply_b_dec_to_input) addToEncoderBias(folded, shift);
  const W_dec = saeTensor(folded, "W_dec");
  for (let at = 0; at < W_dec.length; at++) W_dec[at] = W_dec[at]! / outputScale(at % d_out);
  const b_dec = Float64Array.from(
    saeTensor(folded, "b_dec"),
    (bias, output) => bias / outputScale(output) + output_mean[output]!,
  );
  if (folded.config.skip) {
    const W_skip = saeTensor(folded, "W_skip");
    for (let output = 0; output < d_out; output++) {
      for (let input = 0; input < d_in; input++) {
        const at = output * d_in + input;
        W_skip[at] = (W_skip[at]! * inputScale(input)) / outputScale(output);
        b_dec[output]! -= W_skip[at]! * input_mean[input]!;
      }
    }
  }
  saeTensor(folded, "b_dec").set(b_dec);
  return folded;
}

/**
 * The SAE whose decoder rows have norm 1 and whose features are larger by what the norms were:
 *   W_dec[i]' = W_dec[i] / n_i, and times n_i W_enc[:, i], b_enc, b_gate, b_mag, threshold.
 * A row of norm 0 stays as it is; where TopK selects by the norm, its encoder becomes 0, for it was never selected.
 * Returned unchanged: TopK that selects by z alone, for it would select others, and crosscoders, whose norms per hook
 * point are results.
 */
export function foldDecoderNorm(sae: Sae): Sae {
  const { activation, rescale_acts_by_decoder_norm, n_hook_points } = sae.config;
  if (n_hook_points > 1 || (activation === "topk" && !rescale_acts_by_decoder_norm)) return sae;
  return withUnitRows(sae);
}

function withUnitRows(sae: Sae): Sae {
  const folded = copy(sae);
  const { d_out, d_sae, rescale_acts_by_decoder_norm: rescaled } = folded.config;
  folded.config.rescale_acts_by_decoder_norm = false;
  const W_dec = saeTensor(folded, "W_dec");
  const factors = Float64Array.from({ length: d_sae }, (_, feature) => {
    const row = W_dec.subarray(feature * d_out, (feature + 1) * d_out);
    const norm = Math.sqrt(row.reduce((sum, weight) => sum + weight * weight, 0));
    if (norm === 0) return rescaled ? 0 : 1;
    for (let at = 0; at < d_out; at++) row[at] = row[at]! / norm;
    return norm;
  });
  for (const name of ["W_enc", "b_enc", "b_gate", "b_mag", "threshold"]) {
    if (folded.tensors[name] === undefined) continue;
    const values = saeTensor(folded, name);
    for (let at = 0; at < values.length; at++) values[at] = values[at]! * factors[at % d_sae]!;
  }
  return folded;
}

function checkNormalization({ config }: Sae, normalization: Normalization): void {
  const { d_in, d_out, n_hook_points, normalize_activations } = config;
  const { input_scale, input_mean, output_scale, output_mean } = normalization;
  const scales = [input_scale, output_scale];
  if (
    scales.some(
      (one) => one.length !== n_hook_points || !one.every((scale) => scale > 0 && Number.isFinite(scale)),
    )
  ) {
    throw new RangeError(
      `Scales ${input_scale} and ${output_scale} are not ${n_hook_points} positive numbers each.`,
    );
  }
  if (input_mean.length !== d_in || output_mean.length !== d_out) {
    throw new RangeError(
      `Means of ${input_mean.length} and ${output_mean.length} numbers do not fit ${d_in} and ${d_out} columns.`,
    );
  }
  const identity =
    scales.flat().every((scale) => scale === 1) &&
    [input_mean, output_mean].every((mean) => !mean.some(Boolean));
  if (normalize_activations !== "none" && !identity) {
    throw new RangeError(
      `What comes before ${normalize_activations} cannot be folded into weights behind it.`,
    );
  }
}

/**
 * Where b_dec is subtracted from the input and cannot stand for both sides any more (a skip connection moves the mean of
 * one only, or the sides are normalised differently), the subtraction becomes part of the encoder's bias.
 */
function withOwnInputBias(
  sae: Sae,
  { input_scale, input_mean, output_scale, output_mean }: Normalization,
): Sae {
  const { apply_b_dec_to_input, skip, d_in, d_sae } = sae.config;
  const same =
    input_scale.every((scale, hook) => scale === output_scale[hook]) &&
    input_mean.every((mean, column) => mean === output_mean[column]);
  if (!apply_b_dec_to_input || (same && !(skip && input_mean.some((mean) => mean !== 0)))) return sae;
  const folded = copy(sae);
  folded.config.apply_b_dec_to_input = false;
  const W_enc = saeTensor(sae, "W_enc");
  const b_dec = saeTensor(sae, "b_dec");
  const shift = new Float64Array(d_sae);
  for (let input = 0; input < d_in; input++) {
    for (let feature = 0; feature < d_sae; feature++) {
      shift[feature]! -= b_dec[input]! * W_enc[input * d_sae + feature]!;
    }
  }
  addToEncoderBias(folded, shift);
  return folded;
}

/** Hook points scaled differently change the norms that TopK selects by, so those go into the encoder first. */
function withSharedSelection(sae: Sae, { output_scale }: Normalization): Sae {
  const even = output_scale.every((scale) => scale === output_scale[0]);
  return even || !sae.config.rescale_acts_by_decoder_norm ? sae : withUnitRows(sae);
}

/** Adds to z, or to h for gated, by the biases, in place. */
function addToEncoderBias(sae: Sae, shift: Float64Array): void {
  const add = (name: string, factor: (feature: number) => number) => {
    const bias = saeTensor(sae, name);
    for (let at = 0; at < bias.length; at++) bias[at] = bias[at]! + shift[at]! * factor(at);
  };
  if (sae.config.activation !== "gated") {
    add("b_enc", () => 1);
    return;
  }
  const r_mag = saeTensor(sae, "r_mag");
  add("b_gate", () => 1);
  add("b_mag", (feature) => Math.exp(r_mag[feature]!));
}

function copy({ config, tensors }: Sae): Sae {
  const copies = Object.entries(tensors).map(([name, { shape, data }]): [string, StateTensor] => [
    name,
    { shape: [...shape], data: data.slice() },
  ]);
  return { config: { ...config }, tensors: Object.fromEntries(copies) };
}
