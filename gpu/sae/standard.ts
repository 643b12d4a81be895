import { planActivate } from "../kernels/activate.ts";
import { planListActive } from "../kernels/list-active.ts";
import { planLpNorms } from "../kernels/lp-norms.ts";
import { planRowNorms } from "../kernels/row-norms.ts";
import type { Activation } from "./activation.ts";
import type { ArchitectureDescription } from "./architecture.ts";

/*
 * ReLU with an L1 penalty weighted by decoder norms (Anthropic, Circuits Updates April 2024; SAELens `standard`).
 *
 * Forward:   x̄ = x − b_dec, or x          z = W_enc x̄ + b_enc        f = max(z, 0)
 *            x̂ = Σ_i f_i W_dec[i] + b_dec   e = x̂ − x
 * Loss, over a batch of B tokens:
 *   mse_loss      = 1/B Σ ‖e‖²
 *   sparsity_loss = λ/B Σ_t ‖u_t‖_p,  u_i = f_i ‖W_dec[i]‖;  p = lp_norm, so with p = 1: λ/B Σ_t Σ_i u_i
 * Gradients, s_i = (u_i / ‖u‖_p)^(p−1), which is 1 for p = 1:
 *   dz_i      = [z_i > 0] · (2/B ⟨W_dec[i], e⟩ + λ/B s_i ‖W_dec[i]‖)
 *   gW_dec[i] = 2/B Σ_t f_i e + λ/B (Σ_t s_i f_i) W_dec[i] / ‖W_dec[i]‖
 *   gW_enc, gb_enc, gb_dec as in every architecture (step-plan.ts)
 *
 * With decoder_norm "unit" the norms are 1 and the second part of gW_dec lies along W_dec[i], so the projection removes
 * it: the unit-norm variant of Towards Monosemanticity and dictionary_learning's StandardTrainer.
 */
export const standard: ArchitectureDescription = {
  label: "Standard",
  help: "ReLU activations with an L1 penalty weighted by decoder norms.",
  source: "Anthropic, Circuits Updates, April 2024; SAELens standard",
  defaults: { decoder_norm: "free", apply_b_dec_to_input: true },
};

export const standardActivation: Activation = {
  async plan({ context, config, sizes, buffers: b }) {
    const { point_out, points } = sizes;
    const norms =
      config.lp_norm === 1
        ? []
        : [
            planRowNorms(context, { d_sae: sizes.d_sae, stride: point_out, points }, b),
            planLpNorms(context, { ...sizes, p: config.lp_norm }, b),
          ];
    return Promise.all([
      planActivate(context, sizes, { rule: "standard" }, b),
      planListActive(context, { ...sizes, plane: 0 }, b),
      ...norms,
    ]);
  },
  gradient: ({ lp_norm }) => ({ standard: true, penalized: true, lp: lp_norm !== 1 }),
};
