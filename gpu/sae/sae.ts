/** A tensor on the host, row-major. */
export interface StateTensor {
  shape: number[];
  data: Float32Array | Uint32Array;
}

/**
 * An SAE for use on raw activations, by its function: what every file format here is read into and written from.
 *
 * Tensors, F32, by SAELens' names and in SAELens' orientation:
 *   W_enc [d_in, d_sae], W_dec [d_sae, d_out], b_dec [d_out];
 *   b_enc [d_sae], but for `gated` b_gate, b_mag, r_mag [d_sae];
 *   threshold [d_sae] for `jumprelu`; W_skip [d_out, d_in] with `skip`.
 *
 *   x̃ = normalise(x)     x̄ = x̃ − b_dec, or x̃     z = x̄ W_enc + b_enc
 *   relu      f = max(z, 0)
 *   gated     h = x̄ W_enc, f = [h + b_gate > 0] max(h ⊙ exp(r_mag) + b_mag, 0)
 *   jumprelu  f = max(z, 0) [z > threshold]
 *   topk      f = max(z, 0) on the k largest z (z_i ‖W_dec[i]‖ with rescale_acts_by_decoder_norm, where f is also
 *             reported times ‖W_dec[i]‖ and decoded divided by it), ties to the lower feature, else 0
 *   x̂ = denormalise(f W_dec + b_dec + W_skip x̃)
 */
export interface Sae {
  config: SaeConfig;
  tensors: Record<string, StateTensor>;
}

export type SaeActivation = "relu" | "gated" | "jumprelu" | "topk";

/**
 * Per-token normalisation that is part of the function; of a crosscoder, of each hook point by itself.
 *   constant_norm_rescale  x̃ = x √d_in / ‖x‖, undone by x̂ ‖x‖ / √d_in
 *   layer_norm             x̃ = (x − mean(x)) / (std(x) + 1e-5), std with n − 1, undone by x̂ std(x) + mean(x)
 *                          (SAELens and OpenAI's TopK SAEs, to the letter)
 */
export type SaeNormalization = "none" | "constant_norm_rescale" | "layer_norm";

export interface SaeConfig {
  activation: SaeActivation;
  d_in: number;
  d_out: number;
  d_sae: number;
  /** topk only. */
  k: number | null;
  rescale_acts_by_decoder_norm: boolean;
  apply_b_dec_to_input: boolean;
  normalize_activations: SaeNormalization;
  /** Input and target are different hook points. */
  transcoder: boolean;
  skip: boolean;
  /** Hook points side by side in d_in = d_out; 1 except for crosscoders. */
  n_hook_points: number;
  metadata: SaeMetadata;
}

/** Where an SAE comes from; null where nobody knows. */
export interface SaeMetadata {
  model_name: string | null;
  hook_name: string | null;
  /** A transcoder's target. */
  hook_name_out: string | null;
  dataset_name: string | null;
  context_size: number | null;
  prepend_bos: boolean | null;
  /** Architecture it was trained as, e.g. "matryoshka_batchtopk" for what is now a jumprelu. */
  training_architecture: string | null;
  /** Free-form provenance: other keys of the source's own metadata, hyperparameters. Plain JSON. */
  extra: Record<string, unknown>;
}
