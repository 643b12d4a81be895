import { addRow, dot } from "./linear.ts";
import { tensor } from "./problem.ts";
import type { Problem } from "./types.ts";

/** The gradient at the output, of weight/B ‖error‖²: 2 weight/B · error, [B, output]. */
export function slopeOf({ B }: Problem, error: Float64Array, weight = 1): Float64Array {
  return error.map((e) => ((2 * weight) / B) * e);
}

/** gb_dec += Σ_t slope, gW_skip += Σ_t slope xᵀ (x itself, from which b_dec is never subtracted). */
export function backwardOutput({ gradients, B, input, output, x }: Problem, slope: Float64Array): void {
  const b_dec = tensor(gradients, "b_dec");
  for (let t = 0; t < B; t++) {
    addRow(b_dec, 0, 1, slope, t, output);
    if (gradients.W_skip === undefined) continue;
    for (let c = 0; c < output; c++) addRow(gradients.W_skip, c, slope[t * output + c]!, x, t, input);
  }
}

/** gW_dec[i] += Σ_t f_i slope, for i < below. @param f [B, d_sae]. @param slope [B, output]. */
export function backwardDecoder(
  { gradients, B, d_sae, output }: Problem,
  f: Float64Array,
  slope: Float64Array,
  below = d_sae,
): void {
  const W_dec = tensor(gradients, "W_dec");
  for (let t = 0; t < B; t++) {
    for (let i = 0; i < below; i++) {
      const activation = f[t * d_sae + i]!;
      if (activation !== 0) addRow(W_dec, i, activation, slope, t, output);
    }
  }
}

/** d_i += ⟨W_dec[i], slope⟩ where `counts`, for i < below. @param d gradient at activations, [B, d_sae]. */
export function backwardActivations(
  { parameters, B, d_sae, output }: Problem,
  d: Float64Array,
  slope: Float64Array,
  counts: (at: number) => boolean,
  below = d_sae,
): void {
  const W_dec = tensor(parameters, "W_dec");
  for (let t = 0; t < B; t++) {
    for (let i = 0; i < below; i++) {
      const at = t * d_sae + i;
      if (counts(at)) d[at]! += dot(W_dec, i, slope, t, output);
    }
  }
}

/**
 * gW_enc[i] += Σ_t dz_i x̄, and gb_dec −= Σ_i (Σ_t dz_i) W_enc[i] where b_dec is subtracted from the input.
 * @param dz gradient at W_enc x̄, [B, d_sae].
 */
export function backwardEncoder(
  { config, parameters, gradients, B, d_sae, input, encoded }: Problem,
  dz: Float64Array,
): void {
  const gW_enc = tensor(gradients, "W_enc");
  const gb_dec = tensor(gradients, "b_dec");
  const W_enc = tensor(parameters, "W_enc");
  for (let t = 0; t < B; t++) {
    for (let i = 0; i < d_sae; i++) {
      const slope = dz[t * d_sae + i]!;
      if (slope === 0) continue;
      addRow(gW_enc, i, slope, encoded, t, input);
      if (config.apply_b_dec_to_input) addRow(gb_dec, 0, -slope, W_enc, i, input);
    }
  }
}

/** The gradient of a bias: d [B, d_sae] summed over tokens. */
export function backwardBias({ gradients, d_sae }: Problem, name: string, d: Float64Array): void {
  const bias = tensor(gradients, name);
  d.forEach((slope, at) => {
    bias[at % d_sae]! += slope;
  });
}
