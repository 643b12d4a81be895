import { planRowNorms } from "../kernels/row-norms.ts";
import { planSelect } from "../kernels/select.ts";
import type { Activation } from "./activation.ts";
import type { ArchitectureDescription } from "./architecture.ts";

/*
 * TopK with AuxK (Gao et al. 2024, arXiv 2406.04093; the losses' scales are SAELens').
 *
 * Forward, per token, S the k largest z (ties to the lower feature), D the dead features:
 *   f_i = max(z_i, 0) for i in S, else 0        x̂ = Σ f_i W_dec[i] + b_dec          e = x̂ − x
 *   A = the min(k_aux, |D|) largest z in D, not rectified                            r̂ = Σ_{i in A} z_i W_dec[i]
 * With a free decoder and rescale_acts_by_decoder_norm, "largest" is by z_i ‖W_dec[i]‖, in S and in A.
 * Loss:
 *   mse_loss = 1/B Σ ‖e‖²
 *   aux_loss = a/B Σ ‖r̂ + e‖²           a = aux_loss_coefficient · min(|D| / k_aux, 1); e is a constant here
 *   multi_topk adds 1/8 · 1/B Σ ‖e₄‖² to aux_loss, e₄ the error with the 4k largest instead of the k largest
 * Gradients; e' = a (r̂ + e):
 *   dz_i      = 2/B ⟨W_dec[i], e + e₄/8⟩ [z_i > 0] for i in S,  2/B ⟨W_dec[i], e₄/8⟩ [z_i > 0] for i in S₄ alone,
 *               plus 2/B ⟨W_dec[i], e'⟩ for i in A
 *   gW_dec[i] = 2/B Σ_t f_i (e, or e + e₄/8, or e₄/8) + 2/B Σ_t z_i [i in A] e'
 *   gb_dec    = 2/B Σ_t (e + e₄/8) − Σ_i gb_enc[i] W_enc[i]
 */
export const topk: ArchitectureDescription = {
  label: "TopK",
  help: "Keeps the k largest pre-activations of each token and sets the rest to zero.",
  source: "Gao et al. 2024, arXiv 2406.04093",
  defaults: {},
};

export const topkActivation: Activation = {
  async plan({ context, config, sizes, buffers: b }, purpose) {
    const select = (factor: number, plane: number) =>
      planSelect(
        context,
        { ...sizes, factor, plane },
        { ...b, list: { counts: b.counts }, norms: sizes.rescaled ? b.norms : null },
      );
    const multi = config.multi_topk && purpose === "training";
    return Promise.all([
      ...(sizes.rescaled ? [planRowNorms(context, { ...sizes, stride: sizes.point_out }, b)] : []),
      select(1, 0),
      // The list that stays is the longer one; which of it belongs to the k largest tell the first plane's bits.
      ...(multi ? [select(4, sizes.plane)] : []),
    ]);
  },
  gradient: ({ multi_topk }) => ({ multi: multi_topk }),
};
