import { planActivate } from "../kernels/activate.ts";
import { planListActive } from "../kernels/list-active.ts";
import type { Activation } from "./activation.ts";
import type { ArchitectureDescription } from "./architecture.ts";

/*
 * Gated SAE (Rajamanoharan et al. 2024, arXiv 2404.16014): one product decides whether a feature fires, and how much.
 *
 * Forward:   h = W_enc x̄     π = h + b_gate     m = h ⊙ exp(r_mag) + b_mag
 *            f = [π > 0] max(m, 0)              a = max(π, 0)
 *            x̂ = Σ f_i W_dec[i] + b_dec         x̂_a = Σ a_i W_dec[i] + b_dec
 * Loss:      mse_loss = 1/B Σ ‖x̂ − x‖²    sparsity_loss = λ/B Σ a_i ‖W_dec[i]‖    aux_loss = 1/B Σ ‖x̂_a − x‖²
 *            In aux_loss, W_dec and b_dec are constants (the paper; SAELens lets gradients through). The penalty does
 *            reach W_dec, as in SAELens, or a free decoder would grow to escape it.
 * Gradients, e = x̂ − x, e_a = x̂_a − x:
 *   dm_i = [π_i > 0][m_i > 0] 2/B ⟨W_dec[i], e⟩
 *   dπ_i = [π_i > 0] (2/B ⟨W_dec[i], e_a⟩ + λ/B ‖W_dec[i]‖)
 *   dh_i = dπ_i + dm_i exp(r_mag_i)
 *   gr_mag_i = Σ_t dm_i h_i exp(r_mag_i)     gb_mag_i = Σ_t dm_i     gb_gate_i = Σ_t dπ_i
 *   gW_enc[i] = Σ_t dh_i x̄     gW_dec[i] = 2/B Σ_t f_i e + λ/B (Σ_t a_i) W_dec[i] / ‖W_dec[i]‖
 *   gb_dec = 2/B Σ_t e − Σ_i (Σ_t dh_i) W_enc[i]     the second term only with apply_b_dec_to_input
 */
export const gated: ArchitectureDescription = {
  label: "Gated",
  help: "A gate decides whether a feature fires, a magnitude how much; the L1 penalty falls on the gate alone.",
  source: "arXiv 2404.16014; SAELens gated",
  defaults: { decoder_norm: "unit" },
};

export const gatedActivation: Activation = {
  plan: ({ context, sizes, buffers: b }) =>
    Promise.all([
      planActivate(context, sizes, { rule: "gated", parameters: b.feature_parameters }, b),
      // Of open gates: a feature whose magnitude is not above zero adds nothing to f, but to a.
      planListActive(context, sizes, b),
    ]),
  gradient: () => ({ gated: true, penalized: true }),
};
